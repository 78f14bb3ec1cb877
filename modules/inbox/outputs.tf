output "bucket_name" {
  description = "Name of the bucket."
  # Through the notification, so that whoever uploads there is heard.
  value = aws_s3_bucket_notification.uploads.id
}

output "permissions" {
  description = "What the function may do here: one IAM statement per purpose, by its sid."
  value = {
    # The bucket is versioned and each notification names a version, so the permissions for objects
    # without one are not needed.
    ReadFiles = {
      actions   = ["s3:GetObjectVersion"]
      resources = ["${aws_s3_bucket.inbox.arn}/*"]
    }
    TagFiles = {
      actions   = ["s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging"]
      resources = ["${aws_s3_bucket.inbox.arn}/*"]
    }
    # It needs PutItem, too, which the function has for markers.
    HoldLanes = {
      actions   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
      resources = [var.lanes_table_arn]
    }
    # Without it S3 answers 403 instead of 404 for a file that was deleted before it was read.
    TellDeletedFile = {
      actions   = ["s3:ListBucket"]
      resources = [aws_s3_bucket.inbox.arn]
    }
  }
}
