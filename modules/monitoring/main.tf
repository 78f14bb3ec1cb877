# Alarms, the dashboard, the metrics from log lines, and the topic for notifications.

locals {
  has_stream     = var.stream_name != null
  keeps_failures = var.failure_queue_name != null

  notify     = var.alert_email != ""
  publishers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"]

  # Raised by any event within five minutes. Alarms that differ override these settings.
  any_event = { is_enabled = true, statistic = "Sum", period = 300, periods = 1, of_periods = 1, threshold = 0 }

  of_function = { namespace = "AWS/Lambda", dimensions = { FunctionName = var.function_name } }
  of_api      = { namespace = "AWS/ApiGateway", dimensions = { ApiId = var.api_id } }

  alarms = {
    function-errors = merge(local.any_event, local.of_function, {
      description = "The function raised an error or timed out. Its log has the trace."
      metric      = "Errors"
    })
    function-throttles = merge(local.any_event, local.of_function, {
      description = "Lambda throttled calls of the function. The account's concurrency is used up."
      metric      = "Throttles"
    })
    # Two periods of three, so that one long reconciliation raises no alarm. Files and batches may take
    # longer than 5 s. If the function handles them, the alarm watches only the requests of the API.
    function-slow = merge(local.any_event, local.keeps_failures ? local.of_api : local.of_function, {
      description = "One call in twenty took more than 5 seconds."
      metric      = local.keeps_failures ? "IntegrationLatency" : "Duration"
      statistic   = "p95"
      periods     = 2
      of_periods  = 3
      threshold   = 5000 # milliseconds
    })
    api-5xx = merge(local.any_event, local.of_api, {
      description = "The API answered requests with 5xx. The function's log has the code and the cause."
      metric      = "5xx"
    })
    authorizer-errors = merge(local.any_event, local.of_function, {
      is_enabled  = var.authorizer_function_name != null
      description = "The authorizer raised an error or timed out. Requests fail until it works again."
      metric      = "Errors"
      dimensions  = { FunctionName = var.authorizer_function_name }
    })
    # Only the reconciliation calls the function asynchronously, so each event that Lambda drops after
    # its retries is a failed reconciliation, whatever the cause. A failure queue replaces this alarm:
    # it gets failed reconciliations, and dropped events would include files.
    reconciliation-failures = merge(local.any_event, local.of_function, {
      is_enabled  = var.enable_reconciliation && !local.keeps_failures
      description = "The scheduled reconciliation and its retries failed. The report may lack words that a crashed request counted."
      metric      = "AsyncEventsDropped"
    })
    failures = merge(local.any_event, {
      is_enabled  = local.keeps_failures
      description = "The failure queue holds messages. Files or records were not counted, or a reconciliation failed."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = var.failure_queue_name }
      statistic   = "Maximum"
    })
    # Three minutes of five, so that one retried batch raises no alarm.
    stream-behind = merge(local.any_event, local.of_function, {
      is_enabled  = local.has_stream
      description = "Texts wait in the stream for more than a minute. Batches fail, or the shards receive more texts than the function counts."
      metric      = "IteratorAge"
      statistic   = "Maximum"
      period      = 60
      periods     = 3
      of_periods  = 5
      threshold   = (var.stream_window_seconds + 60) * 1000 # milliseconds
    })
  }

  # For each metric: a pattern of the log lines that carry it, and the value to take from them.
  log_metrics = merge(local.request_metrics, local.inbox_metrics, local.stream_metrics)

  request_metrics = {
    Words            = { pattern = "{ $.message = \"request\" && $.words = * }", value = "$.words" }
    DistinctWords    = { pattern = "{ $.message = \"request\" && $.distinct = * }", value = "$.distinct" }
    ScannedPages     = { pattern = "{ $.scanned_pages = * }", value = "$.scanned_pages" }
    PublishConflicts = { pattern = "{ $.conflicts = * }", value = "$.conflicts" }
    RejectedRequests = { pattern = "{ $.message = \"request\" && $.route = \"POST /\" && $.status >= 400 && $.status < 500 }", value = "1" }
  }

  inbox_metrics = { for name, metric in {
    FilesCounted = { pattern = "{ $.message = \"file\" && $.outcome = \"counted\" }", value = "1" }
    # Failed files are not refused: Lambda retries them, and the failure queue's alarm reports them.
    FilesRefused = { pattern = "{ $.message = \"file\" && $.outcome != \"counted\" && $.outcome != \"gone\" && $.outcome != \"failed\" }", value = "1" }
    FileWords    = { pattern = "{ $.message = \"file\" && $.words = * }", value = "$.words" }
  } : name => metric if var.enable_inbox }

  stream_metrics = { for name, metric in {
    RecordsSetAside = { pattern = "{ $.message = \"batch\" && $.set_aside > 0 }", value = "$.set_aside" }
  } : name => metric if local.has_stream }
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  for_each = { for name, alarm in local.alarms : name => alarm if alarm.is_enabled }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic == "p95" ? null : each.value.statistic
  extended_statistic  = each.value.statistic == "p95" ? "p95" : null
  period              = each.value.period
  datapoints_to_alarm = each.value.periods
  evaluation_periods  = each.value.of_periods
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching" # without traffic there is no data
  alarm_actions       = aws_sns_topic.alerts[*].arn
  ok_actions          = aws_sns_topic.alerts[*].arn
}

moved {
  from = aws_cloudwatch_metric_alarm.count
  to   = aws_cloudwatch_metric_alarm.metric
}

moved {
  from = aws_cloudwatch_metric_alarm.slow
  to   = aws_cloudwatch_metric_alarm.metric["function-slow"]
}

moved {
  from = aws_cloudwatch_metric_alarm.failures[0]
  to   = aws_cloudwatch_metric_alarm.metric["failures"]
}

moved {
  from = aws_cloudwatch_metric_alarm.behind[0]
  to   = aws_cloudwatch_metric_alarm.metric["stream-behind"]
}

# ThrottledRequests has data only with the dimension Operation, so the alarm adds up two metrics that have
# data per table.
resource "aws_cloudwatch_metric_alarm" "table_throttles" {
  alarm_name          = "${var.name}-table-throttles"
  alarm_description   = "DynamoDB throttled reads or writes of the words table. The cause is a hot word, max_writes_per_second or the account's limit."
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
