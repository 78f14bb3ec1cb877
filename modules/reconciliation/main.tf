# The schedule on which the live function rebuilds the report from the table.

resource "aws_cloudwatch_event_rule" "schedule" {
  name                = "${var.name}-reconcile"
  description         = "Rebuilds the report from the table, in case a crashed request left it out of date."
  schedule_expression = var.schedule
}

resource "aws_cloudwatch_event_target" "function" {
  rule  = aws_cloudwatch_event_rule.schedule.name
  arn   = var.function.arn
  input = jsonencode({ task = "reconcile" })
}

resource "aws_lambda_permission" "schedule" {
  statement_id  = "CallFromSchedule"
  action        = "lambda:InvokeFunction"
  function_name = var.function.function_name
  qualifier     = var.function.alias
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule.arn
}
