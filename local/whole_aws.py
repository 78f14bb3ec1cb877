"""The emulated AWS that Terraform can deploy to: every service, with moto's gaps there filled.

Slower to start than local.aws and run the same way: `python -m local.whole_aws`.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from local import aws


def keep_function_settings() -> None:
    """moto drops LoggingConfig and ignores updates of it and of tracing: eternal drift."""
    from moto.awslambda.models import LambdaFunction

    create, update, configuration = (
        LambdaFunction.__init__,
        LambdaFunction.update_configuration,
        LambdaFunction.get_configuration,
    )

    def initialise(self: Any, account_id: str, spec: Any, *args: Any, **kwargs: Any) -> None:
        create(self, account_id, spec, *args, **kwargs)
        self.logging_config = spec.get("LoggingConfig")

    def update_configuration(self: Any, changes: dict[str, Any]) -> Any:
        self.logging_config = changes.get("LoggingConfig", self.logging_config)
        self.tracing_config = changes.get("TracingConfig", self.tracing_config)
        return update(self, changes)

    def get_configuration(self: Any, on_create: bool = False) -> Any:
        return configuration(self, on_create) | {"LoggingConfig": self.logging_config}

    LambdaFunction.__init__ = initialise
    LambdaFunction.update_configuration = update_configuration
    LambdaFunction.get_configuration = get_configuration


def evaluate_bucket_policy_conditions() -> None:
    """moto ignores Condition, so that a policy that denies plain HTTP would deny everything.

    Requests count as made over TLS, as on AWS they would be. Other conditions are not known here.
    """
    from moto.s3.models import FakeBucket

    permission = FakeBucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        policy = self.policy
        if policy is None:
            return permission(self, action, resource)
        document = json.loads(policy)
        document["Statement"] = [
            statement
            for statement in document["Statement"]
            if statement.get("Condition") != {"Bool": {"aws:SecureTransport": "false"}}
        ]
        self.policy = json.dumps(document).encode()
        try:
            return permission(self, action, resource)
        finally:
            self.policy = policy

    FakeBucket.get_permission = get_permission


def serving_deployed_code(application: aws.Wsgi) -> aws.Wsgi:
    """`GET /deployed-code/FUNCTION/VERSION`: the zip of a function, which moto keeps to itself."""
    from moto.awslambda.models import lambda_backends

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = re.fullmatch(r"/deployed-code/([\w-]+)/(\d+)", environ.get("PATH_INFO", ""))
        if not asked:
            return application(environ, start_response)
        function = lambda_backends["123456789012"][aws.REGION].get_function(*asked.groups())
        start_response("200 OK", [("Content-Length", str(len(function.code_bytes)))])
        return [function.code_bytes]

    return serve


if __name__ == "__main__":
    keep_function_settings()
    evaluate_bucket_policy_conditions()
    aws.serve(serving_deployed_code(aws.application()))
