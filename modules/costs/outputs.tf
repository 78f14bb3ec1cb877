output "creates_monitor" {
  description = "Whether the anomaly monitor is this configuration's own."
  value       = length(aws_ce_anomaly_monitor.services) == 1
}
