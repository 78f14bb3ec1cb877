variable "name" {
  description = "Prefix of the queue's name."
  type        = string
  nullable    = false
}

variable "function" {
  description = "The function whose failed asynchronous calls are kept."
  type = object({
    function_name = string
    alias         = string
  })
  nullable = false
}
