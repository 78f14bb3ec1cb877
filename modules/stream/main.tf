# The stream of texts, and the event source mapping through which the live function counts them in
# batches.

locals {
  retention_hours = 24
}

resource "aws_kinesis_stream" "texts" {
  #checkov:skip=CKV_AWS_185:AWS's own key encrypts the stream. A customer key costs per month and per request.

  name             = "${var.name}-texts"
  shard_count      = var.shards
  retention_period = local.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }
}

resource "aws_lambda_event_source_mapping" "texts" {
  event_source_arn  = aws_kinesis_stream.texts.arn
  function_name     = var.function.arn
  starting_position = "TRIM_HORIZON" # skips no record

  # Each word is written once per batch, so larger batches make fewer writes.
  batch_size                         = 10000
  maximum_batching_window_in_seconds = var.window_seconds
  parallelization_factor             = 1 # a shard has one checkpoint, on which parallel batches would conflict

  # The function sets malformed records aside, so they fail no batch. A batch fails because of an outage
  # or a fault in the function, and waiting is best in both cases: Lambda retries the batch for 20 hours.
  # Its records then stay in the stream for 4 hours, and the message in the failure queue says where.
  # 10,000 retries are the maximum. Lambda waits between retries, so the age limit always comes first.
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = 10000
  maximum_record_age_in_seconds  = (local.retention_hours - 4) * 3600

  destination_config {
    on_failure {
      destination_arn = var.failure_queue_arn
    }
  }
}
