"""The HTTP server in front of the gateway and of the emulated AWS, for `make run` and `make stack`."""

import io
import sys
import threading
from typing import Any

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.wsgi import Gateway_10, Server


class _HeaderReader(HeaderReader):
    """Joins duplicate headers as payload format 2.0 does; cheroot keeps only the last value.

    WSGI cannot tell `x_api_key` from `x-api-key`, so names with an underscore are dropped.
    """

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        headers: dict[bytes, bytes] = {} if hdict is None else hdict
        while (line := rfile.readline()) != b"\r\n":
            if not line or line[:1].isspace():
                raise ValueError("The headers are cut off or folded.")
            for name, value in super().__call__(io.BytesIO(line + b"\r\n"), {}).items():
                separator = b"; " if name == b"Cookie" else b","
                earlier = [headers[name]] if name in headers else []
                headers[name] = separator.join([*earlier, value])
        return headers

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class _Request(HTTPRequest):
    header_reader = _HeaderReader()


class _HTTPConnection(HTTPConnection):
    RequestHandlerClass = _Request


class Connection(Gateway_10):
    """Closes the connection after an answer with `connection: close`; cheroot would only pass the header on."""

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if ("connection", "close") in headers:
            self.req.close_connection = True
        return super().start_response(status, headers, exc_info)


class HttpServer(Server):
    """cheroot's server with higher limits, and without its messages, which quote client input.
    With cheroot's own limits, clients that keep many connections see resets of requests in flight: when
    more than 5 connections wait to be accepted, and when a client reuses a connection after 10 s.
    """

    ConnectionClass = _HTTPConnection
    keep_alive_conn_limit = 1000

    def __init__(self, application: Any, threads: int = 8, port: int = 0) -> None:
        """Listen, but accept no connection yet. Raise OSError if the port is taken."""
        super().__init__(
            ("127.0.0.1", port),
            application,
            threads,
            request_queue_size=1000,
            timeout=300,
            shutdown_timeout=1,
        )
        self.gateway = Connection
        self.prepare()

    def serve_in_background(self) -> str:
        """Answer requests until `stop` is called. Return the URL."""
        threading.Thread(target=self.serve, daemon=True).start()
        return f"{self.origins[0]}/"

    @property
    def origins(self) -> list[str]:
        """Origins of the pages that the server serves to browsers on this machine."""
        return [f"http://{host}:{self.bind_addr[1]}" for host in ("127.0.0.1", "localhost")]

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        del msg, level, traceback
        if error := sys.exc_info()[0]:
            print(f"HTTP server: {error.__name__}", file=sys.stderr)
