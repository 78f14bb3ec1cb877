output "id" {
  description = "Id of the API."
  value       = aws_apigatewayv2_api.main.id
}

output "uri" {
  description = "Where to POST."
  value       = local.has_domain ? "https://${var.domain_name}/" : "${aws_apigatewayv2_api.main.api_endpoint}/"
}

output "access_log_group_name" {
  description = "Name of the access log's group."
  value       = aws_cloudwatch_log_group.access.name
}
