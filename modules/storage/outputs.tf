output "words_table_name" {
  description = "Name of the words table."
  value       = aws_dynamodb_table.words.name
}

output "words_table_arn" {
  description = "ARN of the words table."
  value       = aws_dynamodb_table.words.arn
}

output "markers_table_name" {
  description = "Name of the markers table."
  value       = aws_dynamodb_table.markers.name
}

output "markers_table_arn" {
  description = "ARN of the markers table."
  value       = aws_dynamodb_table.markers.arn
}

output "reports_bucket_name" {
  description = "Name of the reports bucket."
  value       = aws_s3_bucket.reports.id
}

output "reports_bucket_arn" {
  description = "ARN of the reports bucket."
  value       = aws_s3_bucket.reports.arn
}

output "report_arn" {
  description = "ARN of the bucket's only object, the report."
  value       = "${aws_s3_bucket.reports.arn}/top.json"
}

output "has_cors" {
  description = "Whether the pages of at least one origin may open the report."
  value       = length(aws_s3_bucket_cors_configuration.reports) == 1
}
