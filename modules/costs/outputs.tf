output "creates_monitor" {
  description = "Whether this configuration creates the anomaly monitor."
  value       = length(aws_ce_anomaly_monitor.services) == 1
}
