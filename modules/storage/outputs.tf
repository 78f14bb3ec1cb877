output "words_table_name" {
  description = "Name of the table of words."
  value       = aws_dynamodb_table.words.name
}

output "words_table_arn" {
  description = "ARN of the table of words."
  value       = aws_dynamodb_table.words.arn
}

output "markers_table_name" {
  description = "Name of the table of markers."
  value       = aws_dynamodb_table.markers.name
}

output "markers_table_arn" {
  description = "ARN of the table of markers."
  value       = aws_dynamodb_table.markers.arn
}

output "reports_bucket_name" {
  description = "Name of the bucket of reports."
  value       = aws_s3_bucket.reports.id
}

output "reports_bucket_arn" {
  description = "ARN of the bucket of reports."
  value       = aws_s3_bucket.reports.arn
}

output "report_arn" {
  description = "ARN of the one object that the bucket holds."
  value       = "${aws_s3_bucket.reports.arn}/top.json"
}

output "has_cors" {
  description = "Whether pages of any origin may open a report."
  value       = length(aws_s3_bucket_cors_configuration.reports) == 1
}
