output "live" {
  description = "How to call the function: its name, its alias, the alias's ARN and the ARN that API Gateway needs."
  value = {
    function_name = aws_lambda_function.main.function_name
    alias         = aws_lambda_alias.live.name
    arn           = aws_lambda_alias.live.arn
    invoke_arn    = aws_lambda_alias.live.invoke_arn
  }
}

output "version" {
  description = "The version that the last apply published."
  value       = aws_lambda_function.main.version
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = aws_cloudwatch_log_group.main.name
}
