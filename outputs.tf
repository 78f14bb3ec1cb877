output "public_uri" {
  description = "Where to POST texts."
  value       = module.api.uri
}

output "api_key" {
  description = "What callers must send as x-api-key; empty for a public endpoint."
  value       = var.api_key
  sensitive   = true
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
  description = "Log group of the function: one summary line a request."
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
