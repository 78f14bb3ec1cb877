variable "name" {
  description = "Name of the function, its role and, behind /aws/lambda/, its log group."
  type        = string
  nullable    = false
}

variable "description" {
  description = "What the function does, in a sentence."
  type        = string
  nullable    = false
}

variable "source_dir" {
  description = "Directory of the Python package to deploy, relative to the root module: its *.py files, and the *.html, *.css and *.js files in its directory page."
  type        = string
  nullable    = false
}

variable "handler" {
  description = "Entry point: package.module.function."
  type        = string
  nullable    = false
}

variable "memory_mb" {
  description = "Memory in MB; 1,769 MB come with one whole vCPU. The price per second is proportional to the memory."
  type        = number
  nullable    = false
}

variable "timeout_seconds" {
  description = "Timeout of each call, in seconds."
  type        = number
  nullable    = false
}

variable "log_retention_days" {
  description = "Days for which the logs are kept."
  type        = number
  nullable    = false
}

variable "environment" {
  description = "Environment variables of the function."
  type        = map(string)
  nullable    = false
}

variable "live_version" {
  description = "Version that the alias serves; empty for the newest."
  type        = string
  default     = ""
  nullable    = false
}

variable "canary_share" {
  description = "Share of the calls, from 0 to 1, that the newest version gets while live_version gets the rest."
  type        = number
  default     = 0
  nullable    = false
}

variable "enable_xray" {
  description = "Trace calls with X-Ray."
  type        = bool
  nullable    = false
}

variable "permissions" {
  description = "Permissions of the function besides writing its logs: one IAM statement per purpose, by sid."
  type = map(object({
    actions   = list(string)
    resources = list(string)
  }))
  default  = {}
  nullable = false
}
