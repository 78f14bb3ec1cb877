variable "words_table_name" {
  description = "Name of the table of words."
  type        = string
  nullable    = false
}

variable "markers_table_name" {
  description = "Name of the table of markers."
  type        = string
  nullable    = false
}

variable "reports_bucket_name" {
  description = "Name of the bucket of reports, unique in the world."
  type        = string
  nullable    = false
}

variable "enable_versioning" {
  description = "Keep old versions of the report."
  type        = bool
  nullable    = false
}

variable "cors_allowed_origins" {
  description = "Origins whose pages may open a report."
  type        = list(string)
  nullable    = false
}

variable "url_expiry_seconds" {
  description = "Seconds after which the bucket refuses a signed URL, whatever the URL says."
  type        = number
  nullable    = false
}

variable "max_writes_per_second" {
  description = "Write units a second after which DynamoDB throttles."
  type        = number
  nullable    = false
}
