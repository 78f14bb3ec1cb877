output "stream_name" {
  description = "Name of the stream."
  value       = aws_kinesis_stream.texts.name
}

output "permissions" {
  description = "Permissions that the function needs: one IAM statement per purpose, by sid."
  value = {
    AppendTexts = {
      actions   = ["kinesis:PutRecord"]
      resources = [aws_kinesis_stream.texts.arn]
    }
    # Lambda reads the stream under the function's role. AWS's managed policy also allows
    # SubscribeToShard, which is for enhanced fan-out, and ListStreams, which a mapping does not need.
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
  }
}
