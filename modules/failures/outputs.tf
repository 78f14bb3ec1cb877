output "queue_arn" {
  description = "ARN of the queue."
  value       = aws_sqs_queue.failures.arn
}

output "queue_name" {
  description = "Name of the queue."
  value       = aws_sqs_queue.failures.name
}

output "queue_url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.failures.url
}

output "permissions" {
  description = "What the function may do here: one IAM statement per purpose, by its sid."
  value = {
    # Lambda sends what failed under the function's role, and the function what it sets aside.
    SendFailures = {
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.failures.arn]
    }
  }
}
