data "aws_caller_identity" "current" {}

locals {
  app_dir = "${path.root}/app/wordtally"

  # Only whether there is a key is public, never the key.
  has_api_key = nonsensitive(var.api_key != "")
}

module "storage" {
  source = "./modules/storage"

  words_table_name    = "${var.name}-words"
  reports_bucket_name = "${var.name}-reports-${data.aws_caller_identity.current.account_id}-${var.aws_region}"
  enable_versioning   = var.enable_s3_versioning
}

module "function" {
  source = "./modules/function"

  name               = var.name
  description        = "Counts the words of a posted text and publishes the ten most frequent."
  source_dir         = local.app_dir
  handler            = "wordtally.handler.lambda_handler"
  memory_mb          = 1024
  timeout_seconds    = 29 # below the 30 s after which the API gives up
  log_retention_days = var.log_retention_days

  environment = {
    WORDS_TABLE                  = module.storage.words_table_name
    REPORTS_BUCKET               = module.storage.reports_bucket_name
    PRESIGNED_URL_EXPIRY_SECONDS = tostring(var.presigned_url_expiry)
    SCAN_UP_TO_WORDS             = tostring(var.scan_up_to_words)
  }

  permissions = {
    CountWords = {
      actions   = ["dynamodb:UpdateItem", "dynamodb:Scan"]
      resources = [module.storage.words_table_arn]
    }
    PublishReport = {
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = [module.storage.report_arn]
    }
    # Signs URLs that pin a version. S3 checks the signer's permission when the URL is opened.
    LinkReportVersion = {
      actions   = ["s3:GetObjectVersion"]
      resources = [module.storage.report_arn]
    }
    # Without it S3 answers 403 instead of 404 while there is no report.
    TellMissingReport = {
      actions   = ["s3:ListBucket"]
      resources = [module.storage.reports_bucket_arn]
    }
  }
}

module "authorizer" {
  source = "./modules/function"
  count  = local.has_api_key ? 1 : 0

  name               = "${var.name}-authorizer"
  description        = "Checks the x-api-key header of each request."
  source_dir         = local.app_dir
  handler            = "wordtally.authorizer.lambda_handler"
  memory_mb          = 256
  timeout_seconds    = 5
  log_retention_days = var.log_retention_days

  environment = {
    API_KEY_SHA256 = sha256(var.api_key)
  }
}

module "api" {
  source = "./modules/api"

  name                     = var.name
  function                 = module.function.live
  authorizer               = one(module.authorizer[*].live)
  enable_authorizer        = local.has_api_key
  throttle_rate_per_second = var.throttle_rate_per_second
  throttle_burst           = var.throttle_burst
  log_retention_days       = var.log_retention_days
}
