output "public_uri" {
  description = "Where to POST texts; with enable_page, also the address of the page."
  value       = module.api.uri

  precondition {
    condition     = length(distinct([for part in [var.domain_name, var.domain_certificate_arn, var.domain_zone_id] : part == ""])) == 1
    error_message = "domain_name, domain_certificate_arn and domain_zone_id belong together: set all three or none."
  }
}

output "api_key" {
  description = "Key that callers must send as x-api-key; empty for a public endpoint."
  value       = var.api_key
  sensitive   = true

  # Preconditions, because a failed validation of a variable shows its value, even a sensitive one.
  precondition {
    condition     = var.api_key == "" || can(regex("^[!-~]{16,256}$", var.api_key))
    error_message = "api_key must have 16 to 256 printable ASCII characters without spaces (try: openssl rand -hex 24), or be empty."
  }

  precondition {
    condition     = var.api_key_previous == "" || can(regex("^[!-~]{16,256}$", var.api_key_previous))
    error_message = "api_key_previous must have 16 to 256 printable ASCII characters without spaces, or be empty."
  }

  precondition {
    condition     = var.api_key != "" || var.api_key_previous == ""
    error_message = "api_key_previous needs api_key: on its own, it would leave the endpoint public."
  }
}

output "function_name" {
  description = "Name of the function, for aws lambda and aws logs commands."
  value       = module.function.live.function_name
}

output "function_version" {
  description = "Version that the last apply published."
  value       = module.function.version
}

output "dashboard_url" {
  description = "The dashboard in the console."
  value       = module.monitoring.dashboard_url
}

output "function_log_group" {
  description = "Log group of the function, with one summary line per request."
  value       = module.function.log_group_name
}

output "access_log_group" {
  description = "Log group of the API's access log."
  value       = module.api.access_log_group_name
}

output "words_table" {
  description = "Name of the table that holds every word and its total."
  value       = module.storage.words_table_name
}

output "reports_bucket" {
  description = "Name of the bucket that holds top.json."
  value       = module.storage.reports_bucket_name
}

output "inbox_bucket" {
  description = "Name of the bucket whose files are counted; empty without enable_inbox."
  value       = join("", module.inbox[*].bucket_name)
}

output "stream_name" {
  description = "Name of the Kinesis stream whose texts are counted; empty without stream_shards."
  value       = join("", module.stream[*].stream_name)
}

output "failure_queue_url" {
  description = "URL of the SQS queue that keeps the files, batches and records that could not be counted; empty without inbox and stream."
  value       = join("", module.failures[*].queue_url)
}
