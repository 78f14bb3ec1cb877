# The failure queue. Lambda sends it the asynchronous calls that still fail after their retries: inbox
# notifications and scheduled reconciliations. The stream's event source mapping sends failed batches,
# and the function sends the records that it sets aside.

resource "aws_sqs_queue" "failures" {
  name                      = "${var.name}-failures"
  message_retention_seconds = 1209600 # 14 days, the longest that SQS offers
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "failures" {
  queue_url = aws_sqs_queue.failures.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.failures.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

# Lambda keeps this configuration per qualifier, and callers use the alias.
resource "aws_lambda_function_event_invoke_config" "live" {
  function_name                = var.function.function_name
  qualifier                    = var.function.alias
  maximum_retry_attempts       = 2     # after one and two minutes
  maximum_event_age_in_seconds = 21600 # 6 hours, for calls that Lambda throttles; both values are the maximum

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failures.arn
    }
  }
}
