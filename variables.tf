# Name and place

variable "name" {
  description = "Prefix of every resource's name. Choose another for a second deployment in the same account."
  type        = string
  default     = "wordtally"
  nullable    = false

  validation {
    # With "-reports-", the account ID and the longest region, a bucket's name has at most 63 characters.
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}$", var.name))
    error_message = "name must be 2 to 24 lower-case letters, digits or hyphens and begin with a letter."
  }
}

variable "aws_region" {
  description = "AWS region of all resources."
  type        = string
  default     = "eu-west-3"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region must be the code of a region, such as eu-west-3."
  }
}

# Who may call

variable "api_key" {
  description = "Key that callers must send as x-api-key, 16 characters or more. Empty means a public endpoint."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "api_key_previous" {
  description = "Second key that is accepted while callers switch to api_key. Empty means none."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
}

variable "cors_allowed_origins" {
  description = "Origins whose pages may call the API from a browser, such as https://example.com. Empty allows none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for origin in var.cors_allowed_origins : can(regex("^([*]|https?://[^/]+)$", origin))])
    error_message = "cors_allowed_origins must be origins without a path, such as https://example.com, or *."
  }
}

# How fast

variable "throttle_rate_per_second" {
  description = "Requests per second that the API accepts on average; it answers the rest with 429. Every request costs money, so this limits the bill."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.throttle_rate_per_second >= 1
    error_message = "throttle_rate_per_second must be at least 1: at 0 the API answers every request with 429."
  }
}

variable "throttle_burst" {
  description = "Requests that the API accepts at once before throttle_rate_per_second applies."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.throttle_burst >= 1 && floor(var.throttle_burst) == var.throttle_burst
    error_message = "throttle_burst must be a whole number, at least 1: at 0 the API answers every request with 429."
  }
}

variable "max_writes_per_second" {
  description = "Approximate limit on word totals written per second. Requests beyond it slow down, and get 503 if their time runs out. The default is the rate at which AWS lets a new table start. It limits the cost of a flood to about 11 USD an hour (0.74 USD per million in eu-west-3)."
  type        = number
  default     = 4000
  nullable    = false

  validation {
    condition     = var.max_writes_per_second >= 1 && floor(var.max_writes_per_second) == var.max_writes_per_second
    error_message = "max_writes_per_second must be a whole number, at least 1. At 40000, AWS's own quota for a table, there is in effect no limit."
  }
}

variable "scan_up_to_words" {
  description = "A request rebuilds the report from the whole table while the last scan found at most this many words. 0 scans only when there is no report or the last scan found no words."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.scan_up_to_words >= 0 && var.scan_up_to_words <= 1000000000000000 && floor(var.scan_up_to_words) == var.scan_up_to_words
    error_message = "scan_up_to_words must be a whole number, 0 or more."
  }
}

# How long data is kept

variable "presigned_url_expiry" {
  description = "Seconds for which a report's URL is valid, 604800 (a week) at most. The bucket refuses older URLs. A URL also expires with the credentials of the function that signed it, after some hours."
  type        = number
  default     = 600
  nullable    = false

  validation {
    condition     = var.presigned_url_expiry >= 1 && var.presigned_url_expiry <= 604800 && floor(var.presigned_url_expiry) == var.presigned_url_expiry
    error_message = "presigned_url_expiry must be a whole number of seconds from 1 to 604800."
  }
}

variable "idempotency_hours" {
  description = "Hours for which a text that is sent again under the same Idempotency-Key is not counted again."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.idempotency_hours >= 1 && var.idempotency_hours <= 8760 && floor(var.idempotency_hours) == var.idempotency_hours
    error_message = "idempotency_hours must be a whole number from 1 to 8,760 (a year)."
  }
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps the logs; 0 keeps them forever. Storage costs about 0.03 USD per GB and month."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch offers: 0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "enable_s3_versioning" {
  description = "Keep old versions of the report, and pin each URL to the version that its request wrote."
  type        = bool
  default     = false
  nullable    = false
}

# Whom to notify

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

variable "anomaly_monitor_arn" {
  description = "ARN of the account's cost anomaly monitor for all services, if it has one (it can have only one). Empty creates one."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.anomaly_monitor_arn == "" || can(regex("^arn:aws[a-z-]*:ce::[0-9]{12}:anomalymonitor/.+$", var.anomaly_monitor_arn))
    error_message = "anomaly_monitor_arn must look like arn:aws:ce::123456789012:anomalymonitor/…, or be empty."
  }
}

# Which version serves

variable "live_version" {
  description = "Version of the function that callers reach, such as \"3\": a pin, a rollback or, with canary_share, the stable side of a canary. Empty means the newest."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([1-9][0-9]*)?$", var.live_version))
    error_message = "live_version must be the number of a published version, such as \"3\", or empty."
  }
}

variable "canary_share" {
  description = "Share of the traffic, from 0 to 1, that the newest version gets while live_version gets the rest."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.canary_share >= 0 && var.canary_share < 1
    error_message = "canary_share must be 0 or more and less than 1. To send all traffic to the newest version, set neither canary_share nor live_version."
  }
}

# Extras

variable "enable_page" {
  description = "Serve a page at public_uri that shows the report and posts texts. Anybody may load the page; with api_key it asks for the key. While the page is visible, it requests the report every few seconds, which costs about 0.001 USD an hour."
  type        = bool
  default     = true
  nullable    = false
}

variable "domain_name" {
  description = "Your own domain for the API, such as words.example.com; needs domain_certificate_arn and domain_zone_id. Empty means none."
  type        = string
  default     = ""
  nullable    = false
}

variable "domain_certificate_arn" {
  description = "ARN of an issued ACM certificate for domain_name, in aws_region."
  type        = string
  default     = ""
  nullable    = false
}

variable "domain_zone_id" {
  description = "Id of the Route 53 hosted zone that gets domain_name's record."
  type        = string
  default     = ""
  nullable    = false
}

variable "reconcile_schedule" {
  description = "Schedule on which the report is rebuilt from the whole table: an EventBridge expression such as rate(1 day). Scanning a million words reads about 30 MB and costs about 0.001 USD. Empty turns it off."
  type        = string
  default     = "rate(1 day)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate[(](1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))[)]|cron[(].+[)])?$", var.reconcile_schedule))
    error_message = "reconcile_schedule must be an EventBridge expression such as rate(1 day), rate(6 hours) or cron(0 3 * * ? *), or empty."
  }
}

variable "enable_inbox" {
  description = "Count whole files that are uploaded to a separate bucket (inbox_bucket)."
  type        = bool
  default     = false
  nullable    = false
}

variable "inbox_retention_days" {
  description = "Days after which a file in the inbox expires. A replaced or expired version is deleted after the same number of days again."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.inbox_retention_days >= 1 && var.inbox_retention_days <= 36500 && floor(var.inbox_retention_days) == var.inbox_retention_days
    error_message = "inbox_retention_days must be a whole number of days from 1 to 36500."
  }
}

variable "stream_shards" {
  description = "Shards of the stream, which counts texts in batches; 0 for no stream. Each takes 1,000 records or 1 MB a second and costs about 0.015 USD an hour. One apply can at most double or halve their number."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.stream_shards >= 0 && var.stream_shards <= 10000 && floor(var.stream_shards) == var.stream_shards
    error_message = "stream_shards must be a whole number from 0 to 10000."
  }
}

variable "stream_window_seconds" {
  description = "Seconds for which texts of the stream are gathered before they are counted together. A longer window makes fewer writes, but texts appear in the report later."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.stream_window_seconds >= 0 && var.stream_window_seconds <= 300 && floor(var.stream_window_seconds) == var.stream_window_seconds
    error_message = "stream_window_seconds must be a whole number of seconds from 0 to 300."
  }
}

variable "enable_xray" {
  description = "Trace calls of the function with X-Ray. It costs 5 USD per million traces beyond the first 100,000 a month."
  type        = bool
  default     = false
  nullable    = false
}

variable "aws_client" {
  description = "How the function calls AWS: thin, this product's own client, or botocore, the SDK that Lambda ships. botocore takes several times the CPU; it is for a network or a partition that the thin client does not support yet."
  type        = string
  default     = "thin"
  nullable    = false

  validation {
    condition     = contains(["thin", "botocore"], var.aws_client)
    error_message = "aws_client must be thin or botocore."
  }
}
