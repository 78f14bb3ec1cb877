output "state_bucket" {
  description = "Name of the bucket for the state."
  value       = aws_s3_bucket.state.id
}

output "lock_table" {
  description = "Name of the table that locks the state."
  value       = aws_dynamodb_table.lock.name
}

output "backend" {
  description = "Content for the root module's backend.tf."
  value       = <<-EOT
    terraform {
      backend "s3" {
        bucket  = "${aws_s3_bucket.state.id}"
        key     = "wordtally/terraform.tfstate"
        region  = "${var.aws_region}"
        encrypt = true

        use_lockfile = true # before Terraform 1.10 instead: dynamodb_table = "${aws_dynamodb_table.lock.name}"
      }
    }
  EOT
}
