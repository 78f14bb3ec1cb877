# Alarms, the dashboard, the metrics from log lines, and the topic for notifications.

locals {
  notify     = var.alert_email != ""
  publishers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"]

  # CloudWatch's own metrics. Missing data raises no alarm: without traffic they have no data points.
  alarms = merge(
    {
      function-errors = {
        description = "The function raised or timed out. Its log has the trace."
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = var.function_name }
      }
      function-throttles = {
        description = "Lambda refused calls of the function: the account's concurrency is used up."
        namespace   = "AWS/Lambda"
        metric      = "Throttles"
        dimensions  = { FunctionName = var.function_name }
      }
      api-5xx = {
        description = "Callers got 5xx answers."
        namespace   = "AWS/ApiGateway"
        metric      = "5xx"
        dimensions  = { ApiId = var.api_id }
      }
    },
    var.enable_authorizer ? {
      authorizer-errors = {
        description = "The authorizer raised or timed out: nobody gets in."
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = var.authorizer_function_name }
      }
    } : {},
    # A failure queue replaces this alarm: it gets failed reconciliations, and dropped events would
    # include files.
    var.enable_reconciliation && !var.keeps_failures ? {
      # Only the reconciliation calls the function asynchronously, so each event that Lambda drops
      # after its retries is a failed reconciliation, whatever the cause.
      reconciliation-failures = {
        description = "The scheduled reconciliation failed, retries included. The report may lack what a crash left behind."
        namespace   = "AWS/Lambda"
        metric      = "AsyncEventsDropped"
        dimensions  = { FunctionName = var.function_name }
      }
    } : {},
  )

  # Files and batches may take longer than the alarm's 5 s. If the function handles them, the alarm
  # watches only the requests of the API.
  slow = var.keeps_failures ? {
    namespace  = "AWS/ApiGateway"
    metric     = "IntegrationLatency"
    dimensions = { ApiId = var.api_id }
    } : {
    namespace  = "AWS/Lambda"
    metric     = "Duration"
    dimensions = { FunctionName = var.function_name }
  }

  # For each metric: a pattern of the log lines that carry it, and the value to take from them.
  log_metrics = merge(local.request_metrics, local.inbox_metrics, local.stream_metrics)

  request_metrics = {
    Words            = { pattern = "{ $.message = \"request\" && $.words = * }", value = "$.words" }
    DistinctWords    = { pattern = "{ $.message = \"request\" && $.distinct = * }", value = "$.distinct" }
    ScannedPages     = { pattern = "{ $.scanned_pages = * }", value = "$.scanned_pages" }
    PublishConflicts = { pattern = "{ $.conflicts = * }", value = "$.conflicts" }
    RejectedRequests = { pattern = "{ $.message = \"request\" && ($.status = 400 || $.status = 422) }", value = "1" }
  }

  inbox_metrics = { for name, metric in {
    FilesCounted = { pattern = "{ $.message = \"file\" && $.outcome = \"counted\" }", value = "1" }
    # Failed files are not refused: Lambda retries them, and the failure queue's alarm reports them.
    FilesRefused = { pattern = "{ $.message = \"file\" && $.outcome != \"counted\" && $.outcome != \"gone\" && $.outcome != \"failed\" }", value = "1" }
    FileWords    = { pattern = "{ $.message = \"file\" && $.words = * }", value = "$.words" }
  } : name => metric if var.enable_inbox }

  stream_metrics = { for name, metric in {
    RecordsSetAside = { pattern = "{ $.message = \"batch\" && $.set_aside > 0 }", value = "$.set_aside" }
  } : name => metric if var.enable_stream }
}

resource "aws_cloudwatch_metric_alarm" "count" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alerts[*].arn
  ok_actions          = aws_sns_topic.alerts[*].arn
}

# Two periods of three, so that one long reconciliation raises no alarm.
resource "aws_cloudwatch_metric_alarm" "slow" {
  alarm_name          = "${var.name}-function-slow"
  alarm_description   = "One call in twenty takes more than 5 s."
  namespace           = local.slow.namespace
  metric_name         = local.slow.metric
  dimensions          = local.slow.dimensions
  extended_statistic  = "p95"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 5000
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alerts[*].arn
  ok_actions          = aws_sns_topic.alerts[*].arn
}

# ThrottledRequests has data only with the dimension Operation, so the alarm adds up events by table.
resource "aws_cloudwatch_metric_alarm" "table_throttles" {
  alarm_name          = "${var.name}-table-throttles"
  alarm_description   = "DynamoDB throttles the words table: a hot word, max_writes_per_second, or the account's limit."
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alerts[*].arn
  ok_actions          = aws_sns_topic.alerts[*].arn

  metric_query {
    id          = "throttles"
    label       = "Read and write throttle events"
    expression  = "FILL(reads, 0) + FILL(writes, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/DynamoDB"
        metric_name = metric_query.value
        dimensions  = { TableName = var.words_table_name }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  count = var.keeps_failures ? 1 : 0

  alarm_name          = "${var.name}-failures"
  alarm_description   = "The failure queue holds messages: files, batches or records that were not counted, or a reconciliation that failed."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.failure_queue_name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alerts[*].arn
  ok_actions          = aws_sns_topic.alerts[*].arn
}

# Three minutes of five, so that one retried batch raises no alarm.
resource "aws_cloudwatch_metric_alarm" "behind" {
  count = var.enable_stream ? 1 : 0

  alarm_name          = "${var.name}-stream-behind"
  alarm_description   = "Texts of the stream wait for more than a minute: batches fail, or the shards get more than the function counts."
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  dimensions          = { FunctionName = var.function_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = (var.stream_window_seconds + 60) * 1000 # milliseconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alerts[*].arn
  ok_actions          = aws_sns_topic.alerts[*].arn
}

resource "aws_cloudwatch_log_metric_filter" "product" {
  for_each = local.log_metrics

  name           = "${var.name}-${each.key}"
  log_group_name = var.function_log_group_name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = var.name
    name      = each.key
    value     = each.value.value
  }
}

# CloudWatch and the billing services cannot publish to a topic that AWS's own key encrypts. The topic
# needs a key whose policy admits them (1 USD a month).
resource "aws_kms_key" "alerts" {
  count = local.notify ? 1 : 0

  description             = "Encrypts the alerts of ${var.name}."
  enable_key_rotation     = true
  deletion_window_in_days = 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AdministerByAccount"
        Effect    = "Allow"
        Principal = { AWS = var.account_id }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "PublishEncrypted"
        Effect    = "Allow"
        Principal = { Service = local.publishers }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        # There is no condition on aws:SourceAccount: both billing services document it for the
        # topic's policy, but not for the key's. If a service does not send it to KMS (EventBridge
        # is known not to), its alerts would be lost silently. The topic's policy has the condition,
        # so the topic accepts only this account's alerts.
        Resource = "*"
      },
    ]
  })
}

resource "aws_sns_topic" "alerts" {
  count = local.notify ? 1 : 0

  name              = "${var.name}-alerts"
  kms_master_key_id = aws_kms_key.alerts[0].arn
}

resource "aws_sns_topic_policy" "alerts" {
  count = local.notify ? 1 : 0

  arn = aws_sns_topic.alerts[0].arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PublishAlerts"
      Effect    = "Allow"
      Principal = { Service = local.publishers }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alerts[0].arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  count = local.notify ? 1 : 0

  topic_arn = aws_sns_topic.alerts[0].arn
  protocol  = "email"
  endpoint  = var.alert_email
}
