variable "name" {
  description = "Prefix of the names."
  type        = string
  nullable    = false
}

variable "monthly_cost_budget_usd" {
  description = "Monthly budget of the account in USD."
  type        = string
  nullable    = false
}

variable "anomaly_monitor_arn" {
  description = "An existing cost anomaly monitor of all services; empty creates one."
  type        = string
  nullable    = false
}

variable "topic_arn" {
  description = "Topic that receives the alerts."
  type        = string
  nullable    = false
}
