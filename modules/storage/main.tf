# The words table, the table of markers beside it, and the reports bucket.

resource "aws_dynamodb_table" "words" {
  #checkov:skip=CKV_AWS_119:AWS's own key encrypts it; a customer key costs per month and per request

  name         = var.words_table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "word"

  attribute {
    name = "word"
    type = "S"
  }

  # Never left out: without the block the provider does not take a limit away, and -1, which would,
  # AWS refuses for a new table and reads back as nothing (pulumi/pulumi-aws#5126). Only for writes:
  # a request has up to 10,000 of them, while its reads are few and the reconciliation needs all.
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

# Which texts were counted under an Idempotency-Key.
resource "aws_dynamodb_table" "markers" {
  #checkov:skip=CKV_AWS_28:markers live for hours, and are emptied when the words table is restored (README)
  #checkov:skip=CKV_AWS_119:AWS's own key encrypts it, and it holds digests only

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
  #checkov:skip=CKV_AWS_18:who reads the report holds its URL; a log needs a second bucket
  #checkov:skip=CKV_AWS_144:the report can be rebuilt from the table
  #checkov:skip=CKV_AWS_145:SSE-S3, as presigned URLs need no key permission then
  #checkov:skip=CKV2_AWS_62:nothing waits for a new report

  bucket = var.reports_bucket_name
  # The report can be rebuilt from the table at any time, so nothing is lost with the bucket.
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

# Only when wanted: a bucket that was never versioned has no delete markers and no version ids.
# Destroying this resource suspends versioning.
resource "aws_s3_bucket_versioning" "reports" {
  count  = var.enable_versioning ? 1 : 0
  bucket = aws_s3_bucket.reports.id

  versioning_configuration {
    status = "Enabled"
  }
}

# Also without versioning: where it was on before, old versions are still there.
resource "aws_s3_bucket_lifecycle_configuration" "reports" {
  bucket = aws_s3_bucket.reports.id

  rule {
    id     = "expire-old-versions"
    status = "Enabled"

    filter {}

    # Longer than any presigned URL lives.
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

  # Rules about versions belong to a bucket whose versioning is settled.
  depends_on = [aws_s3_bucket_versioning.reports]
}

# For pages that open the URL which the API gave them. The count needs only how many origins there are:
# the API's own is unknown until it exists.
resource "aws_s3_bucket_cors_configuration" "reports" {
  count  = length(var.cors_allowed_origins) > 0 ? 1 : 0
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
      # Whoever signs a URL says how long it lives; here the bucket has the last word. Only for what
      # is signed to be passed on: the function and the operator sign each request in its header.
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

  # S3 refuses two changes of a bucket's access at the same moment.
  depends_on = [aws_s3_bucket_public_access_block.reports]
}
