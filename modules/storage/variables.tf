variable "words_table_name" {
  description = "Name of the words table."
  type        = string
  nullable    = false
}

variable "markers_table_name" {
  description = "Name of the markers table."
  type        = string
  nullable    = false
}

variable "reports_bucket_name" {
  description = "Globally unique name of the reports bucket."
  type        = string
  nullable    = false
}

variable "enable_versioning" {
  description = "Keep old versions of the report."
  type        = bool
  nullable    = false
}

variable "cors_allowed_origins" {
  description = "Origins whose pages may open the report."
  type        = list(string)
  nullable    = false
}

variable "url_expiry_seconds" {
  description = "Seconds after which the bucket refuses a presigned URL, even if the URL allows more."
  type        = number
  nullable    = false
}

variable "max_writes_per_second" {
  description = "Write units per second beyond which DynamoDB throttles."
  type        = number
  nullable    = false
}
