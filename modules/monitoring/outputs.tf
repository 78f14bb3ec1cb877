output "topic_arn" {
  description = "Topic of the alerts; null without alert_email."
  # Through the topic's policy, so that the policy exists before anything publishes.
  value = one(aws_sns_topic_policy.alerts[*].arn)
}

output "dashboard_url" {
  description = "The dashboard in the console."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards:name=${aws_cloudwatch_dashboard.main.dashboard_name}"
}
