# A Lambda function with its package, role, log group, versions, and the alias `live` that callers use.

locals {
  zip = "${path.root}/build/${var.name}.zip"

  # The files that package.py puts into the zip.
  files = sort(setunion(
    fileset(var.source_dir, "**/*.py"),
    fileset(var.source_dir, "page/*.{html,css,js}"),
  ))

  # A hash of the sources, not of the zip: a plan after an apply is empty on any machine, even on one
  # that never built the zip.
  source_hash = base64sha256(join("\n", [
    for file in local.files : "${file} ${filesha256("${var.source_dir}/${file}")}"
  ]))
}

# Builds the zip before the function is created or updated from it, without another provider.
resource "terraform_data" "package" {
  triggers_replace = [local.zip, local.source_hash, var.name]

  provisioner "local-exec" {
    command = "python3 '${path.module}/package.py' '${var.source_dir}' '${local.zip}'"
  }
}

resource "aws_cloudwatch_log_group" "main" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts the log with its own key. The log holds neither texts nor keys.

  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "main" {
  name = var.name

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RunAsFunction"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "main" {
  name = "function"
  role = aws_iam_role.main.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.main.arn}:*"]
      }],
      [for sid, permission in var.permissions : {
        Sid      = sid
        Effect   = "Allow"
        Action   = permission.actions
        Resource = permission.resources
      }],
      # These X-Ray actions do not support resource-level permissions.
      [for enabled in [var.enable_xray] : {
        Sid      = "SendTraces"
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        Resource = ["*"]
      } if enabled],
    )
  })
}

resource "aws_lambda_function" "main" {
  #checkov:skip=CKV_AWS_115:A new account has a total concurrency of 10, none of which can be reserved.
  #checkov:skip=CKV_AWS_116:Callers wait for the answer. A failed reconciliation raises an alarm, and the schedule repeats it.
  #checkov:skip=CKV_AWS_117:The function calls only AWS services. A VPC would add endpoints and cost.
  #checkov:skip=CKV_AWS_173:The variables hold no secrets, only names, numbers and digests of keys.
  #checkov:skip=CKV_AWS_272:Anybody who may apply this configuration would hold the signing profile too.

  function_name    = var.name
  description      = var.description
  role             = aws_iam_role.main.arn
  runtime          = "python3.12"
  architectures    = ["arm64"]
  handler          = var.handler
  filename         = local.zip
  source_code_hash = local.source_hash
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds
  publish          = true

  environment {
    variables = var.environment
  }

  tracing_config {
    mode = var.enable_xray ? "Active" : "PassThrough"
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.main.name
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }

  depends_on = [
    terraform_data.package,
    aws_iam_role_policy.main, # the first call needs its permissions
  ]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "Points to the version that serves callers."
  function_name    = aws_lambda_function.main.function_name
  function_version = var.live_version != "" ? var.live_version : aws_lambda_function.main.version

  dynamic "routing_config" {
    for_each = var.canary_share > 0 ? [var.canary_share] : []

    content {
      additional_version_weights = { (aws_lambda_function.main.version) = routing_config.value }
    }
  }

  lifecycle {
    precondition {
      condition     = var.canary_share == 0 || var.live_version != ""
      error_message = "canary_share needs live_version: the version that gets the rest of the traffic (terraform output -raw function_version shows the one before this apply)."
    }

    precondition {
      condition     = var.canary_share == 0 || var.live_version != aws_lambda_function.main.version
      error_message = "live_version is already the newest version, so canary_share has no newer version to send traffic to. Deploy a change, or set neither."
    }

    precondition {
      condition     = var.live_version == "" || try(tonumber(var.live_version) <= tonumber(aws_lambda_function.main.version), true)
      error_message = "live_version has not been published yet."
    }
  }
}
