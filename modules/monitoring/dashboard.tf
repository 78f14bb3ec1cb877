locals {
  api      = ["ApiId", var.api_id]
  table    = ["TableName", var.words_table_name]
  function = ["FunctionName", var.function_name]

  stream = ["StreamName", var.stream_name]

  # Each graph is its title and its metrics: [namespace, name, dimensions…, options].
  graphs = concat([
    ["Traffic", [
      concat(["AWS/ApiGateway", "Count"], local.api, [{ stat = "Sum" }]),
      concat(["AWS/Lambda", "Invocations"], local.function, [{ stat = "Sum" }]),
    ]],
    ["Errors", [
      concat(["AWS/ApiGateway", "4xx"], local.api, [{ stat = "Sum" }]),
      concat(["AWS/ApiGateway", "5xx"], local.api, [{ stat = "Sum" }]),
      concat(["AWS/Lambda", "Errors"], local.function, [{ stat = "Sum" }]),
    ]],
    ["Latency (ms)", [
      for stat in ["p50", "p95", "p99"] : concat(["AWS/ApiGateway", "Latency"], local.api, [{ stat = stat, label = stat }])
    ]],
    ["Throttles", [
      concat(["AWS/Lambda", "Throttles"], local.function, [{ stat = "Sum" }]),
      concat(["AWS/DynamoDB", "ReadThrottleEvents"], local.table, [{ stat = "Sum" }]),
      concat(["AWS/DynamoDB", "WriteThrottleEvents"], local.table, [{ stat = "Sum" }]),
    ]],
    ["Consumed capacity", [
      concat(["AWS/DynamoDB", "ConsumedReadCapacityUnits"], local.table, [{ stat = "Sum" }]),
      concat(["AWS/DynamoDB", "ConsumedWriteCapacityUnits"], local.table, [{ stat = "Sum" }]),
    ]],
    ["Words and the report", [
      for name in sort(keys(local.request_metrics)) : [var.name, name, { stat = "Sum" }]
    ]],
    ], [for graph in [
      ["Files", [
        for name in sort(keys(local.inbox_metrics)) : [var.name, name, { stat = "Sum" }]
      ]],
    ] : graph if var.enable_inbox
    ], [for graph in [
      ["Stream", [
        concat(["AWS/Kinesis", "IncomingRecords"], local.stream, [{ stat = "Sum" }]),
        concat(["AWS/Kinesis", "WriteProvisionedThroughputExceeded"], local.stream, [{ stat = "Sum" }]),
        [var.name, "RecordsSetAside", { stat = "Sum" }],
      ]],
      ["Age of the oldest text in a batch (ms)", [
        concat(["AWS/Lambda", "IteratorAge"], local.function, [{ stat = "Maximum" }]),
      ]],
    ] : graph if local.has_stream
    ], [for graph in [
      ["Failure queue", [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.failure_queue_name, { stat = "Maximum" }],
      ]],
    ] : graph if local.keeps_failures
  ])
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for index, graph in local.graphs : {
        type   = "metric"
        x      = index % 2 * 12
        y      = floor(index / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = graph[0]
          region  = var.region
          view    = "timeSeries"
          period  = 300
          metrics = graph[1]
        }
      }
    ]
  })
}
