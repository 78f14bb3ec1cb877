output "id" {
  description = "Id of the API."
  value       = aws_apigatewayv2_api.main.id
}

output "uri" {
  description = "Where to POST."
  value       = var.domain_name == "" ? "${aws_apigatewayv2_api.main.api_endpoint}/" : "https://${var.domain_name}/"

  precondition {
    condition     = (var.domain_name == "") == (var.domain_certificate_arn == "") && (var.domain_name == "") == (var.domain_zone_id == "")
    error_message = "domain_name, domain_certificate_arn and domain_zone_id belong together: give all three or none."
  }
}

output "access_log_group_name" {
  description = "Name of the access log's group."
  value       = aws_cloudwatch_log_group.access.name
}
