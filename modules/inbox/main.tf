# The bucket whose uploads are counted, and the notification that calls the live function for each
# upload.

resource "aws_s3_bucket" "inbox" {
  #checkov:skip=CKV_AWS_18:The function logs a line for each file. An access log needs a second bucket.
  #checkov:skip=CKV_AWS_144:Files are uploaded to be counted, and then expire.
  #checkov:skip=CKV_AWS_145:SSE-S3 is used, so that uploads need no permission for a key.

  bucket = var.bucket_name
  # Files that are left when the bucket is destroyed would have expired within days.
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Each upload gets its own version, and each version is counted once. A second upload under the same
# name counts as another text.
resource "aws_s3_bucket_versioning" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  versioning_configuration {
    status = "Enabled"
  }
}

# An expired version becomes noncurrent. It is deleted after the same number of days again.
resource "aws_s3_bucket_lifecycle_configuration" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  rule {
    id     = "expire-files"
    status = "Enabled"

    filter {}

    expiration {
      days = var.retention_days
    }

    noncurrent_version_expiration {
      noncurrent_days = var.retention_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # A separate rule: S3 accepts either this or a number of days in one rule.
  rule {
    id     = "expire-delete-markers"
    status = "Enabled"

    filter {}

    expiration {
      expired_object_delete_marker = true
    }
  }

  # Versioning must be set before the rules about versions.
  depends_on = [aws_s3_bucket_versioning.inbox]
}

resource "aws_s3_bucket_policy" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.inbox.arn, "${aws_s3_bucket.inbox.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 rejects concurrent changes to a bucket's access settings.
  depends_on = [aws_s3_bucket_public_access_block.inbox]
}

resource "aws_lambda_permission" "inbox" {
  statement_id   = "CallFromInbox"
  action         = "lambda:InvokeFunction"
  function_name  = var.function.function_name
  qualifier      = var.function.alias
  principal      = "s3.amazonaws.com"
  source_arn     = aws_s3_bucket.inbox.arn
  source_account = var.account_id # the ARN names no account, and anybody can reuse a deleted bucket's name
}

resource "aws_s3_bucket_notification" "uploads" {
  bucket = aws_s3_bucket.inbox.id

  lambda_function {
    id                  = "count"
    lambda_function_arn = var.function.arn
    events              = ["s3:ObjectCreated:*"]
  }

  depends_on = [
    aws_lambda_permission.inbox,    # S3 tests the permission when the notification is created
    aws_s3_bucket_versioning.inbox, # the first notification must name a version
  ]
}
