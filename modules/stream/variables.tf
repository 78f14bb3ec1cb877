variable "name" {
  description = "Prefix of the stream's name."
  type        = string
  nullable    = false
}

variable "shards" {
  description = "Shards of the stream. Each takes 1,000 records or 1 MB a second."
  type        = number
  nullable    = false
}

variable "window_seconds" {
  description = "Seconds for which Lambda gathers records before it calls the function."
  type        = number
  nullable    = false
}

variable "function" {
  description = "The function to call."
  type        = object({ arn = string })
  nullable    = false
}

variable "failure_queue_arn" {
  description = "ARN of the queue for batches that still fail at the end of their retries."
  type        = string
  nullable    = false
}
