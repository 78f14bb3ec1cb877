output "id" {
  description = "Id of the API."
  value       = aws_apigatewayv2_api.main.id
}

output "uri" {
  description = "Address of the API: the operator's own domain, if there is one."
  value       = local.has_domain ? "https://${var.domain_name}/" : "${aws_apigatewayv2_api.main.api_endpoint}/"
}

output "origins" {
  description = "Origins that serve the API. Their number is known when planning."
  value = concat(
    [aws_apigatewayv2_api.main.api_endpoint],
    local.has_domain ? ["https://${var.domain_name}"] : [],
  )
}

output "routes" {
  description = "Authorization type of each route that may call the function, by route key."
  value = {
    for key in keys(aws_lambda_permission.route) : key => aws_apigatewayv2_route.function[key].authorization_type
  }
}

output "access_log_group_name" {
  description = "Name of the access log's group."
  value       = aws_cloudwatch_log_group.access.name
}
