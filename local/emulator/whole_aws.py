"""The emulated AWS of `make stack` and the deployment tests, to which Terraform can deploy: every service,
with moto's gaps filled.

It starts more slowly than local.emulator.aws and runs the same way: `python -m local.emulator.whole_aws`.
"""

import calendar
import html
import json
import math
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from local.emulator import aws, permissions
from local.services import event_source_mapping, notifications


def keep_function_settings() -> None:
    """moto drops LoggingConfig and ignores updates of TracingConfig, so every plan would have changes."""
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


def keep_aliases() -> None:
    """moto replaces an alias by its current version, so an event source mapping would always call that
    version. moto stores asynchronous settings for a function, not for an alias."""
    from moto.awslambda.models import EventSourceMapping
    from moto.awslambda.responses import LambdaResponse

    def of_alias(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def act(self: Any) -> Any:
            name = self.path.split("/functions/")[1].split("/")[0]
            function, alias = self.backend.get_function(name), self._get_param("Qualifier")
            settings = vars(function).setdefault("settings_of_aliases", {})
            function.event_invoke_config = settings.get(alias, [])
            answer = action(self)
            settings[alias] = function.event_invoke_config
            return answer

        return act

    # function_name is the ARN of the alias, as Terraform sends it.
    EventSourceMapping.function_arn = property(lambda self: self.function_name, lambda *_: None)
    for verb in ("put", "get", "delete"):
        name = f"{verb}_function_event_invoke_config"
        setattr(LambdaResponse, name, of_alias(getattr(LambdaResponse, name)))


def evaluate_bucket_policy_conditions() -> None:
    """moto ignores Condition, so a policy that denies plain HTTP would deny everything.

    All requests count as sent over TLS, as they would be on AWS.
    """
    import flask
    from moto.s3.models import FakeBucket

    permission = FakeBucket.get_permission

    def signature(request: Any) -> dict[str, str | None]:
        """The values that conditions test. S3 documents a signature's age only for presigned URLs. Here a
        signature in the header has an age too, so that no policy can rely on its absence."""
        in_query = "X-Amz-Signature" in request.args
        in_header = "Authorization" in request.headers
        date = (request.args if in_query else request.headers).get("X-Amz-Date")
        age = time.time() - calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")) if date else 0
        return {
            "aws:SecureTransport": "true",
            "s3:authType": (in_query and "REST-QUERY-STRING")
            or (in_header and "REST-HEADER")
            or None,
            "s3:signatureAge": str(age * 1000) if date else None,
        }

    def get_permission(self: Any, action: str, resource: str) -> Any:
        policy = self.policy
        if policy is None:
            return permission(self, action, resource)
        request = signature(flask.request)
        document = json.loads(policy)
        document["Statement"] = [
            statement
            for statement in document["Statement"]
            if permissions.holds(statement.pop("Condition", {}), request)
        ]
        self.policy = json.dumps(document).encode()
        try:
            return permission(self, action, resource)
        finally:
            self.policy = policy

    FakeBucket.get_permission = get_permission


def allow_deleting_delete_markers() -> None:
    """moto cannot delete a delete marker once versioning is suspended, so a destroy would fail."""
    from moto.s3.models import FakeDeleteMarker

    FakeDeleteMarker.dispose = lambda _: None


def encode_names_in_lists_of_versions() -> None:
    """moto ignores encoding-type. Terraform would decode names that were never encoded, and would never
    delete objects with a + in their names."""
    from moto.s3.responses import S3Response

    list_versions = S3Response.list_object_versions

    def encoded(key: re.Match[str]) -> str:
        return f"<Key>{quote(html.unescape(key[1]))}</Key>"

    def list_object_versions(self: Any) -> Any:
        status, headers, body = list_versions(self)
        if "encoding-type" in self.querystring:
            body = re.sub("<Key>([^<]*)</Key>", encoded, body)
            stated = "<EncodingType>url</EncodingType></ListVersionsResult>"
            body = body.replace("</ListVersionsResult>", stated)
        return status, headers, body

    S3Response.list_object_versions = list_object_versions


def limit_tables() -> None:
    """moto drops OnDemandThroughput, so every plan would have changes and no write would be throttled."""
    from moto.core.exceptions import JsonRESTError
    from moto.dynamodb.models.table import Table
    from moto.dynamodb.responses import DynamoHandler

    update_item, describe = DynamoHandler.update_item, Table.describe
    writes: Counter[tuple[Any, int]] = Counter()  # by table and second

    def table(self: Any) -> Any:
        return self.dynamodb_backend.get_table(self.body["TableName"])

    def keeping_limits(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def act(self: Any) -> Any:
            answer = action(self)
            table(self).limits = table(self).limits | self.body.get("OnDemandThroughput", {})
            return answer

        return act

    def limited_update_item(self: Any) -> Any:
        now = table(self), int(time.time())
        writes[now] += 1
        if writes[now] > table(self).limits.get("MaxWriteRequestUnits", math.inf):
            raise JsonRESTError("ThrottlingException", "over the table's own limit")
        return update_item(self)

    def describe_with_limits(self: Any, base_key: str = "TableDescription") -> dict[str, Any]:
        answer: dict[str, Any] = describe(self, base_key)
        if self.limits:
            answer[base_key]["OnDemandThroughput"] = self.limits
        return answer

    Table.limits = {}
    Table.describe = describe_with_limits
    DynamoHandler.create_table = keeping_limits(DynamoHandler.create_table)
    DynamoHandler.update_table = keeping_limits(DynamoHandler.update_table)
    DynamoHandler.update_item = limited_update_item


def add_budget_actions() -> None:
    """moto supports budgets, but neither their subscribers nor their tags."""
    from moto.budgets.responses import BudgetsResponse

    create = BudgetsResponse.create_budget

    def budget(self: Any) -> Any:
        owner, name = self._get_param("AccountId"), self._get_param("BudgetName")
        if arn := self._get_param("ResourceARN"):
            owner, name = arn.split(":")[4], arn.rsplit("/", 1)[1]
        return self.backend.budgets[owner][name]

    def create_budget(self: Any) -> str:
        answer: str = create(self)
        owner, name = self._get_param("AccountId"), self._get_param("Budget")["BudgetName"]
        self.backend.budgets[owner][name].tags = self._get_param("ResourceTags", [])
        return answer

    def describe_subscribers_for_notification(self: Any) -> str:
        wanted = self._get_param("Notification")
        (found,) = [
            notification.subscribers
            for notification in budget(self).notifications
            if notification.details.items() >= wanted.items()
        ]
        return json.dumps({"Subscribers": found})

    def list_tags_for_resource(self: Any) -> str:
        return json.dumps({"ResourceTags": budget(self).tags})

    for action in (create_budget, describe_subscribers_for_notification, list_tags_for_resource):
        setattr(BudgetsResponse, action.__name__, action)


def add_anomaly_actions() -> None:
    """moto's Cost Explorer has neither anomaly monitors nor subscriptions."""
    from moto.ce.responses import CostExplorerResponse

    def add(kind: str) -> None:
        """`kind` is Monitor or Subscription; both have the same actions."""
        name, arn_name = f"Anomaly{kind}", f"{kind}Arn"

        def kept(self: Any) -> dict[str, dict[str, Any]]:
            stored: dict[str, dict[str, Any]] = vars(self.ce_backend).setdefault(name, {})
            return stored

        def create(self: Any) -> str:
            account = self.current_account
            arn = f"arn:aws:ce::{account}:anomaly{kind.lower()}/{uuid.uuid4()}"
            kept(self)[arn] = {**self._get_param(name), arn_name: arn, "AccountId": account}
            self.ce_backend.tag_resource(arn, self._get_param("ResourceTags", []))
            return json.dumps({arn_name: arn})

        def get(self: Any) -> str:
            requested = self._get_param(f"{arn_name}List") or list(kept(self))
            found = [kept(self)[arn] for arn in requested if arn in kept(self)]
            return json.dumps({f"Anomaly{kind}s": found})

        def delete(self: Any) -> str:
            del kept(self)[self._get_param(arn_name)]
            return "{}"

        subject = f"anomaly_{kind.lower()}"
        setattr(CostExplorerResponse, f"create_{subject}", create)
        setattr(CostExplorerResponse, f"get_{subject}s", get)
        setattr(CostExplorerResponse, f"delete_{subject}", delete)

    add("Monitor")
    add("Subscription")


def finish_domain_names() -> None:
    """moto gives a domain name no target, zone or status, so its creation would never end."""
    from moto.apigatewayv2.models import DomainName

    to_json = DomainName.to_json

    def finished(self: Any) -> dict[str, Any]:
        answer: dict[str, Any] = to_json(self)
        answer["domainNameConfigurations"] = [
            {
                **configuration,
                "apiGatewayDomainName": f"d-local.execute-api.{aws.REGION}.amazonaws.com",
                "domainNameStatus": "AVAILABLE",
                "hostedZoneId": "ZLOCALZONE",
                "ipAddressType": "ipv4",
            }
            for configuration in self.domain_name_configurations
        ]
        if not self.mutual_tls_authentication:
            del answer["mutualTlsAuthentication"]
        return answer

    DomainName.to_json = finished


def serving_deployed_code(application: aws.Wsgi) -> aws.Wsgi:
    """Serve `GET /deployed-code/FUNCTION/VERSION`, a function's zip, which moto does not serve."""
    from moto.awslambda.models import lambda_backends

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        named = re.fullmatch(r"/deployed-code/([\w-]+)/(\d+)", environ.get("PATH_INFO", ""))
        if not named:
            return application(environ, start_response)
        function = lambda_backends[permissions.ACCOUNT][aws.REGION].get_function(*named.groups())
        return aws.answer(start_response, function.code_bytes)

    return serve


def translating_page_origins(application: aws.Wsgi) -> aws.Wsgi:
    """Serve `PUT /public-origins`, a JSON object that maps each local origin to its public one.

    On AWS the deployed API serves the page; here a server on this machine does. In requests from the
    page, the local origin is replaced by the API's, so that the bucket's CORS configuration applies.
    """
    public: dict[str, str] = {}

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/public-origins":
            public.update(json.load(environ["wsgi.input"]))
            start_response("204 No Content", [])
            return []
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in public:
            return application(environ, start_response)

        def answer(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            allowed = ("access-control-allow-origin", public[origin])
            translated = [
                (name, origin if (name.lower(), value) == allowed else value)
                for name, value in headers
            ]
            return start_response(status, translated, *error)

        return application({**environ, "HTTP_ORIGIN": public[origin]}, answer)

    return serve


def delaying_terraform(application: aws.Wsgi) -> aws.Wsgi:
    """Delay answers to Terraform until it has finished sending.

    If an answer arrives before Go's HTTP client has finished its request, the client closes the
    connection ("use of closed network connection"). AWS never answers that fast, but the emulated
    AWS can when the machine is busy.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "Terraform" in environ.get("HTTP_USER_AGENT", ""):
            time.sleep(0.03)
        return application(environ, start_response)

    return serve


if __name__ == "__main__":
    keep_function_settings()
    keep_aliases()
    event_source_mapping.fix_kinesis()
    evaluate_bucket_policy_conditions()
    allow_deleting_delete_markers()
    encode_names_in_lists_of_versions()
    limit_tables()
    add_budget_actions()
    add_anomaly_actions()
    finish_domain_names()
    moto = notifications.announcing_uploads(serving_deployed_code(aws.moto()))
    cloud = permissions.enforcing(moto)
    checked = aws.checking_presigned_urls(cloud, permissions.secret_of)
    aws.serve(delaying_terraform(translating_page_origins(checked)))
