# What could not be counted: the queue that keeps it, and the function's asynchronous calls, which end
# there after their retries. Notifications of the inbox and scheduled reconciliations are such calls;
# the stream sends its failed batches, and the function sends the records that it sets aside.

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

# Per qualifier: the alias is what is called.
resource "aws_lambda_function_event_invoke_config" "live" {
  function_name                = var.function.function_name
  qualifier                    = var.function.alias
  maximum_retry_attempts       = 2     # after one and two minutes
  maximum_event_age_in_seconds = 21600 # 6 hours, for calls that Lambda throttles; both are its largest

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failures.arn
    }
  }
}
