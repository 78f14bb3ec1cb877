variable "state_bucket_name" {
  description = "Name of the state bucket, unique in the world: the application and the account's number, say."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,56}[a-z0-9]$", var.state_bucket_name))
    error_message = "state_bucket_name must be 3 to 58 lower-case letters, digits or hyphens, such as wordtally-state-123456789012."
  }
}

variable "aws_region" {
  description = "AWS region of the state."
  type        = string
  default     = "eu-west-3"
  nullable    = false
}
