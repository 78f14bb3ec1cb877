variable "name" {
  description = "Name of the API and, behind /aws/vendedlogs/, of its access log."
  type        = string
  nullable    = false
}

variable "function" {
  description = "The function behind every route."
  type = object({
    function_name = string
    alias         = string
    invoke_arn    = string
  })
  nullable = false
}

variable "enable_page" {
  description = "Create the route GET /, which serves the page."
  type        = bool
  nullable    = false
}

variable "authorizer" {
  description = "The function that checks x-api-key before each request, except requests for the page; null for none."
  type = object({
    function_name = string
    alias         = string
    invoke_arn    = string
  })
}

variable "throttle_rate_per_second" {
  description = "Requests per second that the API accepts on average."
  type        = number
  nullable    = false
}

variable "throttle_burst" {
  description = "Requests that the API accepts at once."
  type        = number
  nullable    = false
}

variable "cors_allowed_origins" {
  description = "Origins whose pages may call from a browser."
  type        = list(string)
  nullable    = false
}

variable "domain_name" {
  description = "The operator's own domain; empty for none."
  type        = string
  nullable    = false
}

variable "domain_certificate_arn" {
  description = "Certificate of the domain."
  type        = string
  nullable    = false
}

variable "domain_zone_id" {
  description = "Hosted zone of the domain."
  type        = string
  nullable    = false
}

variable "log_retention_days" {
  description = "Days for which the access log is kept."
  type        = number
  nullable    = false
}
