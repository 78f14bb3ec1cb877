# Which resources exist with each option on and off. `terraform test` (Terraform 1.7 or later) makes
# the plans with a mocked provider; test_deployment.py shows that they apply.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }
}

run "defaults" {
  command = plan

  assert {
    condition     = length(module.authorizer) == 0 && length(module.costs) == 0
    error_message = "there is no authorizer without a key, and there are no cost alerts without an address"
  }

  assert {
    condition     = length(module.reconciliation) == 1
    error_message = "the reconciliation is on by default"
  }

  assert {
    condition     = length(module.inbox) + length(module.stream) + length(module.failures) == 0
    error_message = "inbox, stream and failure queue are off by default"
  }

  assert {
    condition     = module.api.routes == { "GET /" = "NONE", "GET /report" = "NONE", "POST /" = "NONE" }
    error_message = "all three routes are public"
  }

  assert {
    condition     = module.storage.has_cors
    error_message = "the page must be able to read the report in the bucket"
  }
}

run "with_a_key_only_the_page_is_public" {
  command = plan

  variables {
    api_key = "0123456789abcdef"
  }

  assert {
    condition     = module.api.routes == { "GET /" = "NONE", "GET /report" = "CUSTOM", "POST /" = "CUSTOM" }
    error_message = "only the page's route is public"
  }
}

run "other_origins_do_not_need_the_page" {
  command = plan

  variables {
    enable_page          = false
    cors_allowed_origins = ["https://example.com"]
  }

  assert {
    condition     = module.storage.has_cors
    error_message = "pages of the allowed origins must be able to read the report in the bucket"
  }
}

run "an_existing_anomaly_monitor_is_used" {
  command = plan

  variables {
    alert_email         = "ops@example.com"
    anomaly_monitor_arn = "arn:aws:ce::123456789012:anomalymonitor/1234"
  }

  assert {
    condition     = module.costs[0].creates_monitor == false
    error_message = "an account can have only one monitor of all services"
  }
}

run "the_inbox_alone" {
  command = plan

  variables {
    enable_inbox = true
  }

  assert {
    condition     = length(module.inbox) == 1 && length(module.failures) == 1 && length(module.stream) == 0
    error_message = "the inbox needs the failure queue, but no stream"
  }
}

run "the_stream_alone" {
  command = plan

  variables {
    stream_shards = 2
  }

  assert {
    condition     = length(module.stream) == 1 && length(module.failures) == 1 && length(module.inbox) == 0
    error_message = "the stream needs the failure queue, but no inbox"
  }
}

run "a_previous_key_without_a_key_is_refused" {
  command = plan

  variables {
    api_key_previous = "0123456789abcdef"
  }

  expect_failures = [output.api_key]
}

run "an_incomplete_domain_is_refused" {
  command = plan

  variables {
    domain_name = "words.example.com"
  }

  expect_failures = [output.public_uri]
}
