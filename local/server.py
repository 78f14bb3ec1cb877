"""The whole product in this process, for `make run` and `make demo`: emulated AWS, function instances,
gateway, HTTP server. `make stack` also uses the functions that read PORT and API_KEY."""

import contextlib
import hashlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from wordtally import authorizer, handler
from wordtally.settings import Settings

from local.emulator import aws
from local.emulator.aws import Wsgi
from local.services.gateway import Gateway, Route, Throttle
from local.services.http_server import HttpServer
from local.services.instances import Handler, InProcessFunction

TABLE = "wordtally-words"
BUCKET = "wordtally-reports"
MARKERS = "wordtally-markers"

CONCURRENCY = 64
"""Limit on concurrent requests. At most gateway.CALLS_AT_ONCE of them are in the function."""

KEY = "[!-~]{16,256}"
"""The pattern that outputs.tf requires of api_key."""


@contextlib.contextmanager
def serving(api_key: str = "") -> Iterator[str]:
    """Serve the product on PORT for the duration of the context, and yield its URL."""
    throttle = Throttle(default("throttle_rate_per_second"), default("throttle_burst"))
    gateway = Gateway({}, throttle=throttle)
    server = listening(gateway)  # before anything else is started
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        cloud = stack.enter_context(aws.running())
        # boto3 reads the environment, where it must not find the user's own AWS configuration.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(aws.environment(cloud))
        aws.create_storage(cloud, TABLE, BUCKET, MARKERS, server.origins)
        gateway.routes = routes(api_key)
        yield server.serve_in_background()


def key_of_environment() -> str:
    """API_KEY, or "" if it is unset. Exit with a message if Terraform would reject it."""
    api_key = os.environ.get("API_KEY", "")
    if api_key and not re.fullmatch(KEY, api_key):
        sys.exit("API_KEY must have 16 to 256 printable ASCII characters without spaces.")
    return api_key


def listening(application: Wsgi) -> HttpServer:
    """A server that is bound to PORT (by default 8080; 0 for any free port) but does not serve yet.

    Exit with a message if the port is invalid or taken.
    """
    port = os.environ.get("PORT") or "8080"
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        sys.exit(f"PORT must be a number from 0 to 65535, not {port!r}.")
    try:
        return HttpServer(application, CONCURRENCY, int(port))
    except OSError:
        sys.exit(f"Port {port} is taken. Choose another one, such as PORT=9000.")


def curl(url: str, api_key: str) -> str:
    """A command to paste that posts a text."""
    key = f" -H {shlex.quote(f'x-api-key: {api_key}')}" if api_key else ""
    return (
        f'curl -X POST -H "Content-Type: application/json"{key}'
        f' -d \'{{"parameter": "hello world"}}\' {url}'
    )


def default(variable: str) -> int:
    """The default of a numeric variable in variables.tf, so that `make run` matches a deployment."""
    file = Path(__file__).parents[1] / "variables.tf"
    block = file.read_text().partition(f'\nvariable "{variable}" {{\n')[2].partition("\n}\n")[0]
    (value,) = re.findall(r"^  default += (\d+)$", block, re.MULTILINE)
    return int(value)


def routes(api_key: str) -> dict[str, Route]:
    """The function's routes. If there is a key, all except the page's use the authorizer."""
    settings = Settings(
        region=aws.REGION,
        words_table=TABLE,
        reports_bucket=BUCKET,
        presigned_url_expiry_seconds=default("presigned_url_expiry"),
        scan_up_to_words=default("scan_up_to_words"),
        markers_table=MARKERS,
        idempotency_hours=default("idempotency_hours"),
    )

    def start() -> Handler:
        instance = handler.application(settings)
        return lambda event, context: handler.handle(lambda: instance, event, context)

    function = InProcessFunction(start)
    digests = {"API_KEY_SHA256": hashlib.sha256(api_key.encode()).hexdigest()}
    check = InProcessFunction(lambda: lambda event, _: authorizer.authorize(event, digests))
    guarded = Route(function, check if api_key else None)
    return {"POST /": guarded, "GET /report": guarded, "GET /": Route(function)}
