output "bucket_name" {
  description = "Name of the bucket."
  # Through the notification, so that it exists before the first upload.
  value = aws_s3_bucket_notification.uploads.id
}

output "permissions" {
  description = "Permissions that the function needs: one IAM statement per purpose, by sid."
  value = {
    # The bucket is versioned and each notification names a version, so the function needs no
    # permissions for unversioned objects.
    ReadFiles = {
      actions   = ["s3:GetObjectVersion"]
      resources = ["${aws_s3_bucket.inbox.arn}/*"]
    }
    TagFiles = {
      actions   = ["s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging"]
      resources = ["${aws_s3_bucket.inbox.arn}/*"]
    }
    # Without this permission, S3 answers 403 instead of 404 for a file that was deleted before it was read.
    TellDeletedFile = {
      actions   = ["s3:ListBucket"]
      resources = [aws_s3_bucket.inbox.arn]
    }
  }
}
