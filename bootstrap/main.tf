# Remote state for the root module: a bucket for the state, a table for its lock. Applied once, with
# its own local state.

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = {
      Application = "wordtally"
      ManagedBy   = "terraform"
      Purpose     = "terraform-state"
    }
  }
}

resource "aws_s3_bucket" "state" {
  #checkov:skip=CKV_AWS_18:An access log needs a second bucket. CloudTrail can log access if required.
  #checkov:skip=CKV_AWS_144:Versioning is the backup. Replication would double the places to protect.
  #checkov:skip=CKV_AWS_145:SSE-S3 is enough, as anybody who may read the bucket would get a customer key too.
  #checkov:skip=CKV2_AWS_61:Old state versions are small, and recovery needs them.
  #checkov:skip=CKV2_AWS_62:Nothing waits for a new state.

  bucket = var.state_bucket_name

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket = aws_s3_bucket.state.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.state.arn, "${aws_s3_bucket.state.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 rejects concurrent changes to a bucket's access settings.
  depends_on = [aws_s3_bucket_public_access_block.state]
}

# For Terraform before 1.10. Later versions lock with an object next to the state.
resource "aws_dynamodb_table" "lock" {
  #checkov:skip=CKV_AWS_119:The table holds only the names of locks.

  name                        = "${var.state_bucket_name}-lock"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "LockID"
  deletion_protection_enabled = true

  attribute {
    name = "LockID"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }
}
