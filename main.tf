data "aws_caller_identity" "current" {}

locals {
  app_dir = "${path.root}/app/wordtally"

  # Whether a key is set may be public; the key itself may not.
  has_api_key = nonsensitive(var.api_key != "")

  has_stream     = var.stream_shards > 0
  keeps_failures = var.enable_inbox || local.has_stream

  # The table takes this many writes in 10 of the function's 15 minutes. The function's settings accept at
  # most 250,000, because the words must fit into memory.
  max_file_words = min(250000, var.max_writes_per_second * 600)
}

module "storage" {
  source              = "./modules/storage"
  words_table_name    = "${var.name}-words"
  markers_table_name  = "${var.name}-idempotency-keys"
  reports_bucket_name = "${var.name}-reports-${data.aws_caller_identity.current.account_id}-${var.aws_region}"
  enable_versioning   = var.enable_s3_versioning

  url_expiry_seconds    = var.presigned_url_expiry
  max_writes_per_second = var.max_writes_per_second
  cors_allowed_origins  = concat(var.cors_allowed_origins, var.enable_page ? module.api.origins : [])
}

module "function" {
  source             = "./modules/function"
  name               = var.name
  description        = "Counts the words of a posted text and publishes the ten most frequent."
  source_dir         = local.app_dir
  handler            = "wordtally.handler.lambda_handler"
  memory_mb          = 1769 # a whole vCPU, for cold starts and long texts (docs/bench.md, memory)
  timeout_seconds    = 900  # Lambda's maximum: a file's writes take up to 10 minutes; the API waits 30 s
  log_retention_days = var.log_retention_days
  live_version       = var.live_version
  canary_share       = var.canary_share
  enable_xray        = var.enable_xray

  environment = merge({
    WORDS_TABLE                  = module.storage.words_table_name
    MARKERS_TABLE                = module.storage.markers_table_name
    REPORTS_BUCKET               = module.storage.reports_bucket_name
    PRESIGNED_URL_EXPIRY_SECONDS = tostring(var.presigned_url_expiry)
    SCAN_UP_TO_WORDS             = tostring(var.scan_up_to_words)
    IDEMPOTENCY_HOURS            = tostring(var.idempotency_hours)
    AWS_CLIENT                   = var.aws_client
    }, var.enable_inbox ? {
    MAX_FILE_WORDS = tostring(local.max_file_words)
    } : {}, local.has_stream ? {
    STREAM_NAME       = module.stream[0].stream_name
    FAILURE_QUEUE_URL = module.failures[0].queue_url
  } : {})

  # module.inbox[0], not module.inbox[*]: the latter would depend on the whole module, which depends on
  # the function, and so make a cycle.
  permissions = merge(concat([{
    CountWords = {
      actions   = ["dynamodb:UpdateItem", "dynamodb:BatchGetItem", "dynamodb:Scan"]
      resources = [module.storage.words_table_arn]
    }
    CountOnce = {
      actions   = ["dynamodb:PutItem"]
      resources = [module.storage.markers_table_arn]
    }
    PublishReport = {
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = [module.storage.report_arn]
    }
    # For URLs that pin a version: S3 checks the signer's permission when the URL is opened.
    LinkReportVersion = {
      actions   = ["s3:GetObjectVersion"]
      resources = [module.storage.report_arn]
    }
    # Without this permission, S3 answers 403 instead of 404 while there is no report. There is no
    # condition on the prefix, as AWS does not document which prefix applies to GetObject. The
    # permission reveals only the name of the bucket's one object.
    TellMissingReport = {
      actions   = ["s3:ListBucket"]
      resources = [module.storage.reports_bucket_arn]
    }
    }],
    var.enable_inbox ? [module.inbox[0].permissions] : [],
    local.has_stream ? [module.stream[0].permissions] : [],
    local.keeps_failures ? [merge(module.failures[0].permissions, {
      # The lanes of the inbox and the checkpoints of the stream.
      KeepProgress = {
        actions   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        resources = [module.storage.markers_table_arn]
      }
    })] : [],
  )...)
}

module "authorizer" {
  count = local.has_api_key ? 1 : 0

  source             = "./modules/function"
  name               = "${var.name}-authorizer"
  description        = "Checks the x-api-key header of each request."
  source_dir         = local.app_dir
  handler            = "wordtally.authorizer.lambda_handler"
  memory_mb          = 256
  timeout_seconds    = 5
  log_retention_days = var.log_retention_days
  enable_xray        = var.enable_xray

  environment = {
    API_KEY_SHA256 = join(",", [for key in [var.api_key, var.api_key_previous] : sha256(key) if key != ""])
  }
}

module "api" {
  source                   = "./modules/api"
  name                     = var.name
  function                 = module.function.live
  authorizer               = one(module.authorizer[*].live)
  enable_page              = var.enable_page
  throttle_rate_per_second = var.throttle_rate_per_second
  throttle_burst           = var.throttle_burst
  log_retention_days       = var.log_retention_days
  cors_allowed_origins     = var.cors_allowed_origins
  domain_name              = var.domain_name
  domain_certificate_arn   = var.domain_certificate_arn
  domain_zone_id           = var.domain_zone_id
}

module "reconciliation" {
  count = var.reconcile_schedule == "" ? 0 : 1

  source   = "./modules/reconciliation"
  name     = var.name
  schedule = var.reconcile_schedule
  function = module.function.live
}

module "inbox" {
  count = var.enable_inbox ? 1 : 0

  source         = "./modules/inbox"
  bucket_name    = "${var.name}-inbox-${data.aws_caller_identity.current.account_id}-${var.aws_region}"
  account_id     = data.aws_caller_identity.current.account_id
  retention_days = var.inbox_retention_days
  function       = module.function.live
}

module "stream" {
  count = local.has_stream ? 1 : 0

  source            = "./modules/stream"
  name              = var.name
  shards            = var.stream_shards
  window_seconds    = var.stream_window_seconds
  function          = module.function.live
  failure_queue_arn = module.failures[0].queue_arn
}

module "failures" {
  count = local.keeps_failures ? 1 : 0

  source   = "./modules/failures"
  name     = var.name
  function = module.function.live
}

module "monitoring" {
  source                   = "./modules/monitoring"
  name                     = var.name
  region                   = var.aws_region
  account_id               = data.aws_caller_identity.current.account_id
  function_name            = module.function.live.function_name
  function_log_group_name  = module.function.log_group_name
  authorizer_function_name = one(module.authorizer[*].live.function_name)
  enable_reconciliation    = var.reconcile_schedule != ""
  api_id                   = module.api.id
  words_table_name         = module.storage.words_table_name
  enable_inbox             = var.enable_inbox
  stream_name              = one(module.stream[*].stream_name)
  stream_window_seconds    = var.stream_window_seconds
  failure_queue_name       = one(module.failures[*].queue_name)
  alert_email              = var.alert_email
}

module "costs" {
  count = var.alert_email == "" ? 0 : 1

  source                  = "./modules/costs"
  name                    = var.name
  monthly_cost_budget_usd = var.monthly_cost_budget_usd
  anomaly_monitor_arn     = var.anomaly_monitor_arn
  topic_arn               = module.monitoring.topic_arn
}
