"""Places to deploy and check the product: an AWS account, or the emulated AWS."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import boto3
import requests
from botocore.config import Config
from botocore.credentials import Credentials

from local.emulator import aws
from local.emulator.permissions import ACCOUNT
from local.services.deployed import Deployed
from local.services.gateway import Gateway
from local.services.http_server import HttpServer
from local.terraform import Terraform

Seen = TypeVar("Seen")


class Place(ABC):
    """One deployment, with everything that a check needs to observe it."""

    patience_seconds: float
    """How long a change or a log line may take to become visible."""

    pause_seconds: float
    """Pause between two attempts to see a change."""

    account: str
    region: str

    def __init__(self, terraform: Terraform, variables: dict[str, Any]) -> None:
        self.terraform = terraform
        self.variables = variables
        """The variables of every apply."""
        self.applied = ""
        """Terraform's output from the last apply."""
        self.outputs: dict[str, str] = {}

    @property
    def name(self) -> str:
        return str(self.variables.get("name", "wordtally"))

    @property
    def key(self) -> str:
        return str(self.variables.get("api_key", ""))

    @property
    @abstractmethod
    def uri(self) -> str:
        """Address of the deployed API."""

    @abstractmethod
    def client(self, service: str) -> Any:
        """A boto3 client with the operator's credentials."""

    @abstractmethod
    def credentials(self) -> Credentials:
        """The operator's credentials."""

    @abstractmethod
    def run_schedules(self) -> list[Any]:
        """Call the targets of every schedule now, and return their results."""

    @abstractmethod
    def log(self, function: str) -> list[str]:
        """The lines that the function has logged so far."""

    def apply(self, refresh: bool = True, **changes: Any) -> None:
        """Apply with `variables` and, only for this apply, with `changes`."""
        self._write({**self.variables, **changes})
        self.applied = self.terraform.apply(refresh)
        self.outputs = self.terraform.outputs()

    def plan_is_empty(self) -> str:
        """Plan with the variables of the last apply. Raise TerraformError if there are changes."""
        return self.terraform.plan_is_empty()

    def destroy(self) -> None:
        self.terraform.destroy()

    @abstractmethod
    def close(self) -> None:
        """Stop everything that serves the deployment on this machine."""

    def post(self, text: str, key: str | None = None, **headers: str) -> requests.Response:
        """Post `text` with the API key, or with `key`."""
        headers["x-api-key"] = self.key if key is None else key
        return requests.post(self.uri, json={"parameter": text}, headers=headers, timeout=60)

    def link(self, key: str | None = None) -> requests.Response:
        """Request a link to the report with the API key, or with `key`."""
        headers = {"x-api-key": self.key if key is None else key}
        return requests.get(f"{self.uri}report", headers=headers, timeout=60)

    def eventually(self, see: Callable[[], Seen], agrees: Callable[[Seen], bool]) -> Seen:
        """Call `see` until its result agrees or `patience_seconds` have passed. Return the last result."""
        until = time.monotonic() + self.patience_seconds
        while not agrees(seen := see()) and time.monotonic() < until:
            time.sleep(self.pause_seconds)
        return seen

    def _write(self, variables: dict[str, Any]) -> None:
        """Write the variables to a file, so that no key appears on a command line and a destroy by
        hand needs no arguments."""
        file = self.terraform.directory / "terraform.tfvars.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(variables))


class Account(Place):
    """The operator's own AWS account."""

    patience_seconds = 120
    pause_seconds = 2

    def __init__(
        self, directory: Path, variables: dict[str, Any], session: boto3.Session, account: str
    ) -> None:
        self.account = account
        self.region = session.region_name
        self._session = session
        super().__init__(Terraform(directory, account=account), variables)

    @property
    def uri(self) -> str:
        return self.outputs["public_uri"]

    def client(self, service: str) -> Any:
        patient = Config(retries={"mode": "standard", "max_attempts": 5})
        return self._session.client(service, config=patient)  # type: ignore[call-overload]

    def credentials(self) -> Credentials:
        found = self._session.get_credentials()
        assert found  # main used them to look up the account
        return found

    def close(self) -> None:
        pass

    def run_schedules(self) -> list[Any]:
        events, function = self.client("events"), self.client("lambda")
        results = []
        for rule in events.list_rules(NamePrefix=self.name)["Rules"]:
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                answer = function.invoke(FunctionName=target["Arn"], Payload=target["Input"])
                results.append(json.load(answer["Payload"]))
        return results

    def log(self, function: str) -> list[str]:
        return self.log_group(f"/aws/lambda/{function}")

    def log_group(self, group: str) -> list[str]:
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]


class Emulated(Place):
    """The emulated AWS at `cloud`. Its public addresses do not work, so this machine serves the deployed
    routes."""

    patience_seconds = 30  # log lines follow the answer, and files are counted later
    pause_seconds = 0.1
    account = ACCOUNT
    region = aws.REGION

    def __init__(self, directory: Path, variables: dict[str, Any], cloud: str) -> None:
        super().__init__(Terraform(directory, cloud), variables)
        self.terraform.without_lifecycle()
        self.cloud = cloud
        self._product: Deployed | None = None
        self._server = HttpServer(Gateway({}))
        self._server.serve_in_background()

    @property
    def product(self) -> Deployed:
        """The deployment of the last apply."""
        if not self._product:
            self._product = Deployed(self.cloud, self.name)
            self._product.answer_at(self._server)
            self._product.listen()
        return self._product

    @property
    def uri(self) -> str:
        assert self.product
        return f"{self._server.origins[0]}/"

    def client(self, service: str) -> Any:
        return aws.client(service, self.cloud)

    def credentials(self) -> Credentials:
        return Credentials(aws.ACCESS_KEY_ID, aws.SECRET_ACCESS_KEY)

    def run_schedules(self) -> list[Any]:
        return self.product.run_schedules()

    def log(self, function: str) -> list[str]:
        return self.product.functions[function].log

    def restart(self) -> None:
        """Serve with new function instances, and read the stream from its beginning."""
        self._stop()
        assert self.product

    def apply(self, refresh: bool = True, **changes: Any) -> None:
        self._stop()
        super().apply(refresh, **changes)

    def destroy(self) -> None:
        self._stop()
        super().destroy()

    def close(self) -> None:
        self._stop()
        self._server.stop()

    def _stop(self) -> None:
        if self._product:
            self._product.stop()
            self._product = None
