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
  description = "Permissions that the function needs: one IAM statement per purpose, by sid."
  value = {
    # Lambda also uses the function's role to send failed calls and batches.
    SendFailures = {
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.failures.arn]
    }
  }
}
