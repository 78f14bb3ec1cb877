# The monthly budget and cost anomaly detection of the account.

locals {
  notifications = {
    actual-80    = { type = "ACTUAL", percent = 80 }
    actual-100   = { type = "ACTUAL", percent = 100 }
    forecast-100 = { type = "FORECASTED", percent = 100 }
  }

  monitor_arn = var.anomaly_monitor_arn != "" ? var.anomaly_monitor_arn : aws_ce_anomaly_monitor.services[0].arn
}

resource "aws_budgets_budget" "monthly" {
  name         = "${var.name}-monthly"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = var.monthly_cost_budget_usd
  limit_unit   = "USD"

  dynamic "notification" {
    for_each = local.notifications

    content {
      notification_type         = notification.value.type
      threshold                 = notification.value.percent
      threshold_type            = "PERCENTAGE"
      comparison_operator       = "GREATER_THAN"
      subscriber_sns_topic_arns = [var.topic_arn]
    }
  }
}

# An account can have only one monitor of all services. An existing one is named by its ARN.
resource "aws_ce_anomaly_monitor" "services" {
  count = var.anomaly_monitor_arn == "" ? 1 : 0

  name              = "${var.name}-services"
  monitor_type      = "DIMENSIONAL"
  monitor_dimension = "SERVICE"
}

resource "aws_ce_anomaly_subscription" "alerts" {
  name             = "${var.name}-anomalies"
  frequency        = "IMMEDIATE"
  monitor_arn_list = [local.monitor_arn]

  subscriber {
    type    = "SNS"
    address = var.topic_arn
  }

  # A tenth of the budget, in USD above the expected cost.
  threshold_expression {
    dimension {
      key           = "ANOMALY_TOTAL_IMPACT_ABSOLUTE"
      match_options = ["GREATER_THAN_OR_EQUAL"]
      values        = [tostring(tonumber(var.monthly_cost_budget_usd) / 10)]
    }
  }
}
