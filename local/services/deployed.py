"""Serves the deployed product on one machine, for `make stack`, from the resources that Terraform created
in the emulated AWS. A wrong route, alias, permission or environment has the same effect as on AWS."""

import contextlib
import json
import random
import re
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from local.emulator import aws, permissions
from local.services.event_source_mapping import EventSourceMapping
from local.services.failures import send_to
from local.services.gateway import Cors, Event, Gateway, Route, Throttle
from local.services.http_server import HttpServer
from local.services.notifications import Announcements, Target
from local.services.runtime import RuntimeFunction

_FUNCTION_OF_URI = re.compile(r"/functions/arn:aws:lambda:[\w-]+:\d+:function:([\w-]+):([\w-]+)/")


class DeploymentError(Exception):
    """The deployment would not work on AWS."""


class Weighted:
    """Implements gateway.Function for an alias that splits its calls between versions."""

    def __init__(self, versions: Mapping[str, RuntimeFunction], weights: Mapping[str, float]):
        self.versions = versions
        self._weights = weights
        self._chance = random.Random(0)

    def invoke(self, event: Event) -> Any:
        (version,) = self._chance.choices(list(self._weights), list(self._weights.values()))
        return self.versions[version].invoke(event)

    @property
    def log(self) -> list[str]:
        """The output of all versions."""
        return [line for version in self.versions.values() for line in version.log]


class Deployed:
    """The API named `name`, its schedule, and the functions behind both, by name."""

    def __init__(self, cloud: str, name: str) -> None:
        self._cloud = cloud
        self._name = name
        self._lambda = aws.client("lambda", cloud)
        self._apis = aws.client("apigatewayv2", cloud)
        (self._api,) = [api for api in self._apis.get_apis()["Items"] if api["Name"] == name]
        self.functions: dict[str, Weighted] = {}
        self._listening: list[Announcements | EventSourceMapping] = []

    def gateway(self) -> Gateway:
        cors = self._api.get("CorsConfiguration") or {}
        return Gateway(
            self._routes(),
            Cors(
                frozenset(cors.get("AllowOrigins", [])),
                tuple(cors.get("AllowMethods", [])),
                tuple(cors.get("AllowHeaders", [])),
                cors.get("MaxAge"),
            ),
            self._throttle(),
        )

    def answer_at(self, server: HttpServer) -> None:
        """Serve the API at `server`. The emulated AWS treats the pages of `server` as the API's own."""
        origins = dict.fromkeys(server.origins, self._api["ApiEndpoint"])
        request = urllib.request.Request(
            f"{self._cloud}/public-origins", json.dumps(origins).encode(), method="PUT"
        )
        urllib.request.urlopen(request).close()  # nosec B310 # always http://127.0.0.1
        server.wsgi_app = self.gateway()

    def listen(self) -> None:
        """From now on, call the function for each upload and record, as deployed.

        Raise ClientError if the function's role may not read the stream."""
        for mapping in self._lambda.list_event_source_mappings()["EventSourceMappings"]:
            name, alias = mapping["FunctionArn"].split(":")[6:]
            if name == self._name:
                poller = EventSourceMapping(
                    mapping,
                    self._function(name, alias),
                    self._client_of_role("kinesis", name),
                    send_to(self._client_of_role("sqs", name), mapping),
                )
                poller.start()
                self._listening.append(poller)
        if self._announces_uploads():
            self._listening.append(Announcements(self._cloud, self._called_by_bucket))

    def _announces_uploads(self) -> bool:
        s3 = aws.client("s3", self._cloud)
        return any(
            "LambdaFunctionConfigurations"
            in s3.get_bucket_notification_configuration(Bucket=bucket["Name"])
            for bucket in s3.list_buckets()["Buckets"]
        )

    def _called_by_bucket(self, function_arn: str, bucket_arn: str) -> Target:
        name, alias = function_arn.split(":")[6:]
        self._check_permission("s3.amazonaws.com", name, alias, bucket_arn)
        try:
            settings = self._lambda.get_function_event_invoke_config(
                FunctionName=name, Qualifier=alias
            )
        except self._lambda.exceptions.ResourceNotFoundException:
            settings = {}
        retries = settings.get("MaximumRetryAttempts", 2)
        send = send_to(self._client_of_role("sqs", name), settings)
        return Target(self._function(name, alias), retries, send)

    def run_schedules(self) -> list[Any]:
        """Call the targets of every schedule now, and return their results."""
        events = aws.client("events", self._cloud)
        results = []
        for rule in events.list_rules(NamePrefix=self._name)["Rules"]:
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                name, alias = target["Arn"].split(":")[6:]
                self._check_permission("events.amazonaws.com", name, alias, rule["Arn"])
                results.append(self._function(name, alias).invoke(json.loads(target["Input"])))
        return results

    def stop(self) -> None:
        for each in self._listening:
            each.stop()
        for function in self.functions.values():
            for version in function.versions.values():
                version.stop()

    def _throttle(self) -> Throttle:
        stages = self._apis.get_stages(ApiId=self._api["ApiId"])["Items"]
        if [stage["StageName"] for stage in stages] != ["$default"]:
            raise DeploymentError("the API needs the stage $default, whose URLs have no prefix")
        settings = stages[0]["DefaultRouteSettings"]
        # An unset limit becomes 0, and the API answers every request with 429.
        return Throttle(
            settings.get("ThrottlingRateLimit", 0), settings.get("ThrottlingBurstLimit", 0)
        )

    def _routes(self) -> dict[str, Route]:
        api_id = self._api["ApiId"]
        arn = f"arn:aws:execute-api:{aws.REGION}:{permissions.ACCOUNT}:{api_id}"
        routes = {}
        for route in self._apis.get_routes(ApiId=api_id)["Items"]:
            integration = self._apis.get_integration(
                ApiId=api_id, IntegrationId=route["Target"].removeprefix("integrations/")
            )
            if integration.get("PayloadFormatVersion") != "2.0":
                raise DeploymentError("the function requires payload format 2.0")
            method, path = route["RouteKey"].split(" ")
            function = self._called(integration["IntegrationUri"], f"{arn}/$default/{method}{path}")
            if route["AuthorizationType"] == "NONE":
                routes[route["RouteKey"]] = Route(function)
                continue
            authorizer_id = route["AuthorizerId"]
            authorizer = self._apis.get_authorizer(ApiId=api_id, AuthorizerId=authorizer_id)
            if not authorizer["EnableSimpleResponses"]:
                raise DeploymentError("the authorizer requires simple responses")
            routes[route["RouteKey"]] = Route(
                function,
                self._called(authorizer["AuthorizerUri"], f"{arn}/authorizers/{authorizer_id}"),
                authorizer["IdentitySource"][0].removeprefix("$request.header."),
            )
        return routes

    def _called(self, uri: str, source_arn: str) -> Weighted:
        """The function behind an integration's URI, if `source_arn` may call it."""
        matched = _FUNCTION_OF_URI.search(uri)
        if not matched:
            raise DeploymentError(f"{uri} does not name an alias")
        name, alias = matched.groups()
        self._check_permission("apigateway.amazonaws.com", name, alias, source_arn)
        return self._function(name, alias)

    def _function(self, name: str, alias: str) -> Weighted:
        if name not in self.functions:
            found = self._lambda.get_alias(FunctionName=name, Name=alias)
            weights = dict(found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}))
            weights[found["FunctionVersion"]] = 1 - sum(weights.values())
            versions = {version: self._version(name, version) for version in weights}
            self.functions[name] = Weighted(versions, weights)
        return self.functions[name]

    def _version(self, name: str, version: str) -> RuntimeFunction:
        answer = self._lambda.get_function(FunctionName=name, Qualifier=version)
        configuration = answer["Configuration"]
        address = f"{self._cloud}/deployed-code/{name}/{version}"
        with urllib.request.urlopen(address) as opened:  # nosec B310 # always http://127.0.0.1
            code = opened.read()
        return RuntimeFunction(
            configuration,
            code,
            {**aws.environment(self._cloud), **self._credentials_of(configuration["Role"])},
        )

    def _client_of_role(self, service: str, function: str) -> Any:
        """A client with the permissions of the function's role. Lambda polls and sends with that role."""
        role = self._lambda.get_function_configuration(FunctionName=function)["Role"]
        return aws.client(service, self._cloud, self._credentials_of(role))

    def _credentials_of(self, role_arn: str) -> dict[str, str]:
        """Credentials of the role, so that its policy applies to the function's calls."""
        role = aws.client("iam", self._cloud).get_role(RoleName=role_arn.split("/")[-1])
        if "lambda.amazonaws.com" not in json.dumps(role["Role"]["AssumeRolePolicyDocument"]):
            raise DeploymentError(f"Lambda may not assume {role_arn}")
        assumed = aws.client("sts", self._cloud).assume_role(
            RoleArn=role_arn, RoleSessionName="function"
        )["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }

    def _check_permission(self, service: str, name: str, alias: str, source_arn: str) -> None:
        """Raise DeploymentError unless the alias's policy lets an API, a rule or a bucket call it."""
        try:
            answer = self._lambda.get_policy(FunctionName=name, Qualifier=alias)
        except self._lambda.exceptions.ResourceNotFoundException:
            raise DeploymentError(f"{name}:{alias} has no policy that allows a call") from None
        if not permissions.lets_call(answer["Policy"], service, source_arn):
            raise DeploymentError(f"{source_arn} may not call {name}:{alias}")


@contextlib.contextmanager
def product(cloud: str, name: str) -> Iterator[Deployed]:
    """The deployment named `name`. Its processes stop at the end of the context."""
    deployed = Deployed(cloud, name)
    try:
        yield deployed
    finally:
        deployed.stop()
