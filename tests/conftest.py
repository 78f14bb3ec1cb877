"""Shared fixtures: the emulated AWS, and the product served on it."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
import terraform
from hostile import CREDENTIALS, PATIENT, MakeThin
from hypothesis import settings
from wordtally.aws.connections import Timeouts
from wordtally.aws.thin import ThinClient

from local import program
from local.emulator import aws
from local.services.http_server import HttpServer

ROOT = Path(__file__).parents[1]
INTERPRETERS = "unit tests passed under"

# A shell starts background jobs with SIGINT ignored, and their child processes inherit that. Tests send
# SIGINT to the processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that failures are reproducible; `make fuzz` draws new ones.
settings.register_profile("test", derandomize=True, database=None, deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile("test")


@pytest.fixture(autouse=True)
def _keep_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate each test from the user's own AWS configuration and from other tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # A session uses the credentials of its first client for all later clients.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


@pytest.fixture(scope="session")
def cloud() -> Iterator[str]:
    """The address of an emulated AWS with DynamoDB and S3."""
    with aws.running() as url:
        yield url


MAKE_RUN = [sys.executable, "-m", "local"]


@contextlib.contextmanager
def running_product(**variables: str) -> Iterator[str]:
    """The URL of the whole product, as `make run` serves it."""
    with program.running(MAKE_RUN, **variables) as (url, _):
        yield url


@pytest.fixture(scope="session")
def product() -> Iterator[str]:
    with running_product() as url:
        yield url


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serves a WSGI application, and returns its URL."""
    servers = []

    def start(application: Any) -> str:
        servers.append(HttpServer(application))
        return servers[-1].serve_in_background()

    yield start
    for running in servers:
        running.stop()


@pytest.fixture
def thin() -> Iterator[MakeThin]:
    """Makes thin clients for a URL, and closes them."""
    clients = []

    def make(url: str, timeouts: Timeouts = PATIENT, **options: Any) -> ThinClient:
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": url, **options.pop("variables", {})}
        clients.append(ThinClient("eu-west-3", variables, timeouts=timeouts, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients wait longer for an answer than even a busy machine takes."""
    monkeypatch.setattr("wordtally.aws.thin.TIMEOUTS", PATIENT)
    monkeypatch.setattr("wordtally.aws.sdk.CONNECT_TIMEOUT_SECONDS", PATIENT.connect_seconds)
    monkeypatch.setattr("wordtally.aws.sdk.READ_TIMEOUT_SECONDS", PATIENT.answer_seconds)


SLOWEST_FIRST = [
    "verify",
    "deployment",
    "page_in_browser",
    "interpreters",
    "security",
    "bootstrap",
    "terraform",
    "faults",
    "wire",
    "clients",
    "deadline",
    "local",
    "thin_client",
    "random_walks",
]
"""Slow files run first, so that none of them delays the end of the run."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark the tests of modules that use Terraform as slow, and order the files by SLOWEST_FIRST."""
    files = {f"test_{name}": place for place, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: files.get(item.module.__name__, len(files)))
    for item in items:
        if "terraform" in vars(item.module):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the interpreters that ran the unit tests, and report prominently what was not tested."""
    interpreters = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == INTERPRETERS
    ]
    if interpreters:
        terminalreporter.write_line(f"{INTERPRETERS} {', '.join(interpreters)}")
    for what in (terraform.NOT_TESTED, browser.NOT_TESTED):
        skipped = [
            report
            for report in terminalreporter.stats.get("skipped", [])
            if what in str(report.longrepr)
        ]
        if skipped:
            terminalreporter.write_sep("!", what, red=True, bold=True)
            terminalreporter.write_line(str(skipped[0].longrepr[2]), red=True)
            terminalreporter.write_line(f"{len(skipped)} tests skipped.", red=True)
