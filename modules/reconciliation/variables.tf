variable "name" {
  description = "Prefix of the rule's name."
  type        = string
  nullable    = false
}

variable "schedule" {
  description = "EventBridge schedule expression."
  type        = string
  nullable    = false
}

variable "function" {
  description = "The function to call."
  type = object({
    function_name = string
    alias         = string
    arn           = string
  })
  nullable = false
}
