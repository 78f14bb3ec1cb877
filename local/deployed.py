"""The deployed product on one machine: reads back from the emulated AWS what Terraform made there,
and serves it, so that a wrong route, alias, permission or environment shows as it would on AWS."""

import contextlib
import json
import re
import urllib.request
from collections.abc import Iterator

from local import aws
from local.gateway import Gateway, Route
from local.runtime import RuntimeFunction

_FUNCTION_OF_URI = re.compile(r"/functions/arn:aws:lambda:[\w-]+:\d+:function:([\w-]+):([\w-]+)/")


class DeploymentError(Exception):
    """What was deployed would not work on AWS."""


class Deployed:
    """The routes of the API named `name`, and the functions behind them by name."""

    def __init__(self, cloud: str, name: str) -> None:
        self._cloud = cloud
        self._lambda = aws.client("lambda", cloud)
        self._apis = aws.client("apigatewayv2", cloud)
        (self._api,) = [api for api in self._apis.get_apis()["Items"] if api["Name"] == name]
        self.functions: dict[str, RuntimeFunction] = {}

    def routes(self) -> dict[str, Route]:
        api_id = self._api["ApiId"]
        stages = self._apis.get_stages(ApiId=api_id)["Items"]
        if [stage["StageName"] for stage in stages] != ["$default"]:
            raise DeploymentError("the API needs the stage $default, which has no path")
        routes = {}
        for route in self._apis.get_routes(ApiId=api_id)["Items"]:
            integration = self._apis.get_integration(
                ApiId=api_id, IntegrationId=route["Target"].removeprefix("integrations/")
            )
            if integration.get("PayloadFormatVersion") != "2.0":
                raise DeploymentError("the function reads payload format 2.0")
            method, path = route["RouteKey"].split(" ")
            function = self._function(integration["IntegrationUri"], f"$default/{method}{path}")
            authorizer = None
            header = "x-api-key"
            if route["AuthorizationType"] == "CUSTOM":
                found = self._apis.get_authorizer(ApiId=api_id, AuthorizerId=route["AuthorizerId"])
                if not found["EnableSimpleResponses"]:
                    raise DeploymentError("the authorizer answers with simple responses")
                source = f"authorizers/{route['AuthorizerId']}"
                authorizer = self._function(found["AuthorizerUri"], source)
                header = found["IdentitySource"][0].removeprefix("$request.header.")
            routes[route["RouteKey"]] = Route(function, authorizer, header)
        return routes

    def _function(self, uri: str, source: str) -> RuntimeFunction:
        """The version behind the alias in `uri`, if the alias lets `source` of this API call it."""
        matched = _FUNCTION_OF_URI.search(uri)
        if not matched:
            raise DeploymentError(f"{uri} does not name an alias")
        name, alias = matched.groups()
        self._check_permission(name, alias, source)
        version = self._lambda.get_alias(FunctionName=name, Name=alias)["FunctionVersion"]
        configuration = self._lambda.get_function(FunctionName=name, Qualifier=version)[
            "Configuration"
        ]
        with urllib.request.urlopen(f"{self._cloud}/deployed-code/{name}/{version}") as answer:
            code = answer.read()
        function = RuntimeFunction(configuration, code, aws.environment(self._cloud))
        self.functions[name] = function
        return function

    def _check_permission(self, name: str, alias: str, source: str) -> None:
        try:
            policy = json.loads(
                self._lambda.get_policy(FunctionName=name, Qualifier=alias)["Policy"]
            )
        except self._lambda.exceptions.ResourceNotFoundException:
            policy = {"Statement": []}
        for statement in policy["Statement"]:
            arn = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
            pattern = re.escape(arn.split(":", 5)[5]).replace(r"\*", ".*")
            if re.fullmatch(pattern, f"{self._api['ApiId']}/{source}"):
                return
        raise DeploymentError(f"{name}:{alias} may not be called from {source}")


@contextlib.contextmanager
def gateway(cloud: str, name: str) -> Iterator[tuple[Gateway, Deployed]]:
    """A gateway before the deployed functions, which stop with the context."""
    deployed = Deployed(cloud, name)
    try:
        yield Gateway(deployed.routes()), deployed
    finally:
        for function in deployed.functions.values():
            function.stop()
