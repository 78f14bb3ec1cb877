variable "name" {
  description = "Prefix of the alarms' names; name of the dashboard and namespace of the product's own metrics."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the resources to watch."
  type        = string
  nullable    = false
}

variable "account_id" {
  description = "ID of the account. Only services that act for this account may publish alerts."
  type        = string
  nullable    = false
}

variable "function_name" {
  description = "The function to watch."
  type        = string
  nullable    = false
}

variable "function_log_group_name" {
  description = "Log group of the function's summary lines."
  type        = string
  nullable    = false
}

variable "authorizer_function_name" {
  description = "The authorizer to watch; null for none."
  type        = string
}

variable "enable_reconciliation" {
  description = "Watch the scheduled reconciliation."
  type        = bool
  nullable    = false
}

variable "api_id" {
  description = "The API to watch."
  type        = string
  nullable    = false
}

variable "words_table_name" {
  description = "The table to watch."
  type        = string
  nullable    = false
}

variable "enable_inbox" {
  description = "Watch the inbox."
  type        = bool
  nullable    = false
}

variable "stream_name" {
  description = "The stream to watch; null for none."
  type        = string
}

variable "stream_window_seconds" {
  description = "Seconds for which Lambda gathers records. The alarm does not count this time as a delay."
  type        = number
  nullable    = false
}

variable "failure_queue_name" {
  description = "The failure queue to watch, which also gets failed reconciliations; null for none."
  type        = string
}

variable "alert_email" {
  description = "Address to notify; empty for alarms that notify nobody."
  type        = string
  nullable    = false
}
