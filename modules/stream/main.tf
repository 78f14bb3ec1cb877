# The stream of texts, and the event source mapping that has the live function count them in batches.

locals {
  retention_hours = 24
}

resource "aws_kinesis_stream" "texts" {
  #checkov:skip=CKV_AWS_185:AWS's own key encrypts it; a customer key costs per month and per request

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
  starting_position = "TRIM_HORIZON" # nothing that was appended is skipped

  # Records that are counted together are written once per word, so the more the better.
  batch_size                         = 10000
  maximum_batching_window_in_seconds = var.window_seconds
  parallelization_factor             = 1 # a shard has one checkpoint; more would only conflict on it

  # Malformed records are set aside and fail no batch, so a batch that fails meets an outage or a fault
  # of the function; in both cases the best is to wait. It is retried for 20 hours. The records then are
  # still in the stream for 4, in which the failed batch's message in the queue tells where they are.
  # 10,000 retries are the most that can be set; only the age bounds them, as Lambda waits between them.
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = 10000
  maximum_record_age_in_seconds  = (local.retention_hours - 4) * 3600

  destination_config {
    on_failure {
      destination_arn = var.failure_queue_arn
    }
  }
}
