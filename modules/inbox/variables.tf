variable "bucket_name" {
  description = "Name of the bucket, unique in the world."
  type        = string
  nullable    = false
}

variable "account_id" {
  description = "The account, whose bucket alone may call the function."
  type        = string
  nullable    = false
}

variable "retention_days" {
  description = "Days after which a file expires, and after which a version that was replaced or has expired is deleted."
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

variable "lanes_table_arn" {
  description = "ARN of the table that holds the lanes, and a record per file."
  type        = string
  nullable    = false
}
