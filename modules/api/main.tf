# The HTTP API: its routes to the function, its stage, access log and throttling, and the authorizer.

locals {
  has_authorizer = var.authorizer != null

  # By route key. Each route has its own permission. Every route except the page's calls the
  # authorizer, if there is one. The name CallFromRoute dates from when POST / was the only route.
  routes = merge(
    {
      "POST /"      = { statement_id = "CallFromRoute", is_guarded = local.has_authorizer }
      "GET /report" = { statement_id = "CallFromReportRoute", is_guarded = local.has_authorizer }
    },
    var.enable_page ? {
      "GET /" = { statement_id = "CallFromPageRoute", is_guarded = false }
    } : {},
  )
}

resource "aws_apigatewayv2_api" "main" {
  name          = var.name
  description   = "Counts the words of posted texts and returns a link to the ten most frequent words."
  protocol_type = "HTTP"

  dynamic "cors_configuration" {
    for_each = length(var.cors_allowed_origins) > 0 ? [var.cors_allowed_origins] : []

    content {
      allow_origins  = cors_configuration.value
      allow_methods  = ["GET", "POST"]
      allow_headers  = ["content-type", "idempotency-key", "prefer", "x-api-key"]
      expose_headers = ["preference-applied", "retry-after"]
      max_age        = 3600
    }
  }
}

resource "aws_apigatewayv2_integration" "function" {
  api_id                 = aws_apigatewayv2_api.main.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.function.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "function" {
  #checkov:skip=CKV_AWS_309:The page's route is public. switches.tftest.hcl tests that the others require the key.

  for_each = local.routes

  api_id             = aws_apigatewayv2_api.main.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.function.id}"
  authorization_type = each.value.is_guarded ? "CUSTOM" : "NONE"
  authorizer_id      = each.value.is_guarded ? aws_apigatewayv2_authorizer.key[0].id : null
}

moved {
  from = aws_apigatewayv2_route.post
  to   = aws_apigatewayv2_route.function["POST /"]
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.main.id
  name        = "$default"
  auto_deploy = true

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    # Headers and bodies are left out, as they hold keys and texts.
    format = jsonencode({
      requestId        = "$context.requestId"
      requestTime      = "$context.requestTime"
      sourceIp         = "$context.identity.sourceIp"
      routeKey         = "$context.routeKey"
      status           = "$context.status"
      responseLength   = "$context.responseLength"
      responseLatency  = "$context.responseLatency"
      integrationError = "$context.integrationErrorMessage"
      authorizerError  = "$context.authorizer.error"
    })
  }

  default_route_settings {
    throttling_rate_limit  = var.throttle_rate_per_second
    throttling_burst_limit = var.throttle_burst
  }
}

# Under /aws/vendedlogs/, so that the account's only policy for log delivery does not grow.
resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts the log with its own key. The log holds neither texts nor keys.

  name              = "/aws/vendedlogs/${var.name}-api"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_permission" "route" {
  for_each = local.routes

  statement_id  = each.value.statement_id
  action        = "lambda:InvokeFunction"
  function_name = var.function.function_name
  qualifier     = var.function.alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.main.execution_arn}/*/${replace(each.key, " ", "")}"
}

moved {
  from = aws_lambda_permission.route
  to   = aws_lambda_permission.route["POST /"]
}

resource "aws_apigatewayv2_authorizer" "key" {
  count = local.has_authorizer ? 1 : 0

  api_id                            = aws_apigatewayv2_api.main.id
  name                              = "api-key"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = var.authorizer.invoke_arn
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  identity_sources                  = ["$request.header.x-api-key"]
  # Short: a revoked key keeps working until its cached answer expires.
  authorizer_result_ttl_in_seconds = 30

  lifecycle {
    # When the key is removed, the route must stop using the authorizer before it is deleted.
    create_before_destroy = true
  }
}

resource "aws_lambda_permission" "authorizer" {
  count = local.has_authorizer ? 1 : 0

  statement_id  = "CallFromAuthorizer"
  action        = "lambda:InvokeFunction"
  function_name = var.authorizer.function_name
  qualifier     = var.authorizer.alias
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.main.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.key[0].id}"
}
