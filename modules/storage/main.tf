# The words table, the markers table and the reports bucket.

resource "aws_dynamodb_table" "words" {
  #checkov:skip=CKV_AWS_119:AWS's own key encrypts the table. A customer key costs per month and per request.

  name         = var.words_table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "word"

  attribute {
    name = "word"
    type = "S"
  }

  # Always present: without the block, the provider does not remove an existing limit. -1 would remove
  # it, but AWS rejects -1 for a new table and reads it back as unset (pulumi/pulumi-aws#5126).
  # Only writes are limited: a request makes up to 10,000 of them. Its reads are few, and a
  # reconciliation must read the whole table.
  on_demand_throughput {
    max_write_request_units = var.max_writes_per_second
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }
}

# Markers record which texts were counted under an Idempotency-Key.
resource "aws_dynamodb_table" "markers" {
  #checkov:skip=CKV_AWS_28:Markers live for hours, and an operator who restores the words table empties this table.
  #checkov:skip=CKV_AWS_119:AWS's own key encrypts the table. A customer key costs per month and per request.

  name         = var.markers_table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "key"
  range_key    = "chunk"

  attribute {
    name = "key"
    type = "S"
  }

  attribute {
    name = "chunk"
    type = "N"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled = true
  }
}

resource "aws_s3_bucket" "reports" {
  #checkov:skip=CKV_AWS_18:Only holders of a URL read the report. An access log needs a second bucket.
  #checkov:skip=CKV_AWS_144:The report can be rebuilt from the table.
  #checkov:skip=CKV_AWS_145:SSE-S3 is used, so that presigned URLs need no permission for a key.
  #checkov:skip=CKV2_AWS_62:Nothing waits for a new report.

  bucket = var.reports_bucket_name
  # Deleting the bucket loses nothing: the report can be rebuilt from the table at any time.
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "reports" {
  bucket = aws_s3_bucket.reports.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "reports" {
  bucket = aws_s3_bucket.reports.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "reports" {
  bucket = aws_s3_bucket.reports.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Only if enabled: a bucket that was never versioned has no delete markers and no version ids.
# Destroying this resource suspends versioning.
resource "aws_s3_bucket_versioning" "reports" {
  count = var.enable_versioning ? 1 : 0

  bucket = aws_s3_bucket.reports.id

  versioning_configuration {
    status = "Enabled"
  }
}

# Needed even without versioning: if versioning was on before, old versions still exist.
resource "aws_s3_bucket_lifecycle_configuration" "reports" {
  bucket = aws_s3_bucket.reports.id

  rule {
    id     = "expire-old-versions"
    status = "Enabled"

    filter {}

    # Longer than any presigned URL is valid.
    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # Versioning must be set before the rules about versions.
  depends_on = [aws_s3_bucket_versioning.reports]
}

# For pages that open the report's URL. The count uses only the number of origins, because the API's own
# origin is unknown until the API exists.
resource "aws_s3_bucket_cors_configuration" "reports" {
  count = length(var.cors_allowed_origins) > 0 ? 1 : 0

  bucket = aws_s3_bucket.reports.id

  cors_rule {
    allowed_methods = ["GET"]
    allowed_origins = var.cors_allowed_origins
    max_age_seconds = 3600
  }
}

resource "aws_s3_bucket_policy" "reports" {
  bucket = aws_s3_bucket.reports.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.reports.arn, "${aws_s3_bucket.reports.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      # The signer of a URL chooses its lifetime. The bucket enforces a maximum, whatever the signer
      # chose. The function and the operator sign their own requests in a header, so this statement
      # does not apply to them.
      {
        Sid       = "RefuseOldSignatures"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.reports.arn, "${aws_s3_bucket.reports.arn}/*"]
        Condition = {
          StringEquals       = { "s3:authType" = ["REST-QUERY-STRING", "POST"] }
          NumericGreaterThan = { "s3:signatureAge" = tostring(var.url_expiry_seconds * 1000) }
        }
      },
    ]
  })

  # S3 rejects concurrent changes to a bucket's access settings.
  depends_on = [aws_s3_bucket_public_access_block.reports]
}
