variable "name" {
  description = "Prefix of every resource's name. Choose another for a second deployment in the same account and region."
  type        = string
  default     = "wordtally"
  nullable    = false

  validation {
    # With "-reports-", the account and the longest region this stays within a bucket's 63 characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}$", var.name))
    error_message = "name must be 2 to 24 lower-case letters, digits or hyphens and begin with a letter."
  }
}

variable "aws_region" {
  description = "AWS region of everything."
  type        = string
  default     = "eu-west-3"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region must be the code of a region, such as eu-west-3."
  }
}

variable "presigned_url_expiry" {
  description = "Seconds for which the URL of a report is valid, 604800 (a week) at most. It also ends with the credentials of the function that signed it, after some hours."
  type        = number
  default     = 600
  nullable    = false

  validation {
    condition     = var.presigned_url_expiry >= 1 && var.presigned_url_expiry <= 604800 && floor(var.presigned_url_expiry) == var.presigned_url_expiry
    error_message = "presigned_url_expiry must be a whole number of seconds from 1 to 604800."
  }
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps the logs; 0 keeps them for ever. Storage costs about 0.03 USD per GB and month."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch offers: 0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "alert_email" {
  description = "E-mail address for alarms and cost alerts. Empty turns notifications off."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.alert_email == "" || can(regex("^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address such as ops@example.com, or empty."
  }
}

variable "monthly_cost_budget_usd" {
  description = "Monthly budget in USD for the cost alerts that alert_email receives."
  type        = string
  default     = "10"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+([.][0-9]{1,2})?$", var.monthly_cost_budget_usd)) && try(tonumber(var.monthly_cost_budget_usd) > 0, false)
    error_message = "monthly_cost_budget_usd must be an amount above zero, such as \"10\" or \"12.50\"."
  }
}

variable "api_key" {
  description = "What callers must send as x-api-key, 16 characters or more. Empty means a public endpoint."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true

  validation {
    condition     = var.api_key == "" || can(regex("^[!-~]{16,256}$", var.api_key))
    error_message = "api_key must have 16 to 256 printable ASCII characters without spaces (try: openssl rand -hex 24), or be empty."
  }
}

variable "enable_s3_versioning" {
  description = "Keep old versions of the report, and pin each URL to the version that its request wrote."
  type        = bool
  default     = false
  nullable    = false
}

variable "scan_up_to_words" {
  description = "A request rebuilds the report from the whole table while the last scan found at most this many words. 0 scans only when there is no report."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.scan_up_to_words >= 0 && var.scan_up_to_words <= 1000000000000000 && floor(var.scan_up_to_words) == var.scan_up_to_words
    error_message = "scan_up_to_words must be a whole number, 0 or more."
  }
}

variable "throttle_rate_per_second" {
  description = "Requests a second that the API lets through on average; more are answered 429. Every request costs, so this bounds the bill."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.throttle_rate_per_second >= 1
    error_message = "throttle_rate_per_second must be at least 1: at 0 every call is answered 429."
  }
}

variable "throttle_burst" {
  description = "Requests that the API lets through at once before throttle_rate_per_second applies."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.throttle_burst >= 1 && floor(var.throttle_burst) == var.throttle_burst
    error_message = "throttle_burst must be a whole number, at least 1: at 0 every call is answered 429."
  }
}
