variable "bucket_name" {
  description = "Globally unique name of the bucket."
  type        = string
  nullable    = false
}

variable "account_id" {
  description = "ID of the account. Only a bucket of this account may call the function."
  type        = string
  nullable    = false
}

variable "retention_days" {
  description = "Days after which a file expires. A replaced or expired version is deleted after the same number of days again."
  type        = number
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
