variable "state_bucket_name" {
  description = "Globally unique name of the state bucket, such as the application's name and the account ID."
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
