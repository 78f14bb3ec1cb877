# The operator's own domain. It exists only if all three settings are given. If some are missing, a
# precondition of the root output public_uri fails.

locals {
  has_domain = alltrue([for part in [var.domain_name, var.domain_certificate_arn, var.domain_zone_id] : part != ""])
}

resource "aws_apigatewayv2_domain_name" "main" {
  count = local.has_domain ? 1 : 0

  domain_name = var.domain_name

  domain_name_configuration {
    certificate_arn = var.domain_certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "main" {
  count = local.has_domain ? 1 : 0

  api_id      = aws_apigatewayv2_api.main.id
  domain_name = aws_apigatewayv2_domain_name.main[0].id
  stage       = aws_apigatewayv2_stage.default.id
}

resource "aws_route53_record" "main" {
  count = local.has_domain ? 1 : 0

  zone_id = var.domain_zone_id
  name    = var.domain_name
  type    = "A"

  alias {
    name                   = aws_apigatewayv2_domain_name.main[0].domain_name_configuration[0].target_domain_name
    zone_id                = aws_apigatewayv2_domain_name.main[0].domain_name_configuration[0].hosted_zone_id
    evaluate_target_health = false
  }
}
