"""The whole product on one machine: emulated AWS, function instances, gateway, HTTP server."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator

from cheroot.wsgi import Server
from wordtally import authorizer, handler
from wordtally.settings import Settings

from local import aws
from local.gateway import Gateway, Route
from local.instances import Handler, InProcessFunction

TABLE = "wordtally-words"
BUCKET = "wordtally-reports"

CONCURRENCY = 64
"""Requests served at once; more wait."""


@contextlib.contextmanager
def serving(port: int, api_key: str = "") -> Iterator[str]:
    """The product's URL, on `port` (0: any free one) for as long as the context lasts.

    Raise OSError if the port is taken.
    """
    gateway = Gateway({})
    server = Server(("127.0.0.1", port), gateway, numthreads=CONCURRENCY, shutdown_timeout=1)
    server.prepare()  # takes the port, before anything else is started
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        cloud = stack.enter_context(aws.running())
        # boto3 reads the environment; nothing of the user's own AWS set-up may reach it.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(aws.environment(cloud))
        aws.create_storage(cloud, TABLE, BUCKET)
        gateway.routes = {"POST /": route(api_key)}
        threading.Thread(target=server.serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.bind_addr[1]}/"


def route(api_key: str) -> Route:
    """POST /: the function, behind the authorizer if there is a key."""
    settings = Settings.from_environment(
        {
            "AWS_REGION": aws.REGION,
            "WORDS_TABLE": TABLE,
            "REPORTS_BUCKET": BUCKET,
            "PRESIGNED_URL_EXPIRY_SECONDS": "600",
            "SCAN_UP_TO_WORDS": "1000",
        }
    )

    def start() -> Handler:
        instance = handler.application(settings)
        return lambda event, context: handler.respond(lambda: instance, event, context)

    function = InProcessFunction(start)
    if not api_key:
        return Route(function)
    digests = {"API_KEY_SHA256": hashlib.sha256(api_key.encode()).hexdigest()}
    return Route(
        function,
        InProcessFunction(lambda: lambda event, _: authorizer.authorize(event, digests)),
    )
