# The bucket whose uploads are counted, and the notification that calls the live function for each.

resource "aws_s3_bucket" "inbox" {
  #checkov:skip=CKV_AWS_18:the function logs a line for each file; an access log needs a second bucket
  #checkov:skip=CKV_AWS_144:files are here to be counted and then expire
  #checkov:skip=CKV_AWS_145:SSE-S3, as whoever uploads needs no key permission then

  bucket = var.bucket_name
  # What is left here when it is destroyed would have expired within days.
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

# Each upload has a version of its own, under which it is counted once; a second upload under the same
# name is another text.
resource "aws_s3_bucket_versioning" "inbox" {
  bucket = aws_s3_bucket.inbox.id

  versioning_configuration {
    status = "Enabled"
  }
}

# A current version expires into a noncurrent one, which goes after the same time again.
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

  # A rule of its own: S3 takes this or a number of days.
  rule {
    id     = "expire-delete-markers"
    status = "Enabled"

    filter {}

    expiration {
      expired_object_delete_marker = true
    }
  }

  # Rules about versions belong to a bucket whose versioning is settled.
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

  # S3 refuses two changes of a bucket's access at the same moment.
  depends_on = [aws_s3_bucket_public_access_block.inbox]
}

resource "aws_lambda_permission" "inbox" {
  statement_id   = "CallFromInbox"
  action         = "lambda:InvokeFunction"
  function_name  = var.function.function_name
  qualifier      = var.function.alias
  principal      = "s3.amazonaws.com"
  source_arn     = aws_s3_bucket.inbox.arn
  source_account = var.account_id # no account is in the ARN, and a deleted bucket's name is anybody's
}

resource "aws_s3_bucket_notification" "uploads" {
  bucket = aws_s3_bucket.inbox.id

  lambda_function {
    id                  = "count"
    lambda_function_arn = var.function.arn
    events              = ["s3:ObjectCreated:*"]
  }

  depends_on = [
    aws_lambda_permission.inbox,    # S3 tries the call when it is told of the function
    aws_s3_bucket_versioning.inbox, # the first upload that is announced has a version
  ]
}
