output "stream_name" {
  description = "Name of the stream."
  value       = aws_kinesis_stream.texts.name
}

output "permissions" {
  description = "What the function may do here: one IAM statement per purpose, by its sid."
  value = {
    AppendTexts = {
      actions   = ["kinesis:PutRecord"]
      resources = [aws_kinesis_stream.texts.arn]
    }
    # Lambda reads the stream under the function's role. AWS's managed policy has SubscribeToShard and
    # ListStreams too: the one is for enhanced fan-out, and mappings work without the other.
    ReadTexts = {
      actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
      ]
      resources = [aws_kinesis_stream.texts.arn]
    }
    KeepCheckpoints = {
      actions   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
      resources = [var.checkpoints_table_arn]
    }
  }
}
