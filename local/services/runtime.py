"""Lambda for `make stack`, without Docker: runs a deployed zip in processes behind the Runtime API.

Each instance is one process of AWS's own runtime client (awslambdaric) in an environment that has
otherwise only boto3. It gets the variables that Lambda would set, and none of this machine's.
"""

import contextlib
import io
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from local.services.gateway import Event, FunctionError, FunctionTimeout

PYTHON = Path(__file__).parents[2] / ".venv" / "runtime" / "bin" / "python"

logger = logging.getLogger(__name__)


class RuntimeFunction:
    """Implements gateway.Function for one published version of a function.

    `configuration` is the answer of Lambda's GetFunctionConfiguration, `code` is the zip, and
    `aws_environment` has the credentials and the address of the emulated AWS. The instances' output
    goes to `log`, one string per line, and to this module's logger.
    """

    def __init__(
        self, configuration: Mapping[str, Any], code: bytes, aws_environment: Mapping[str, str]
    ) -> None:
        self.configuration = configuration
        self.log: list[str] = []
        self._aws_environment = aws_environment
        self._idle: list[_Instance] = []
        self._all: list[_Instance] = []
        self._task_root = Path(tempfile.mkdtemp(prefix="wordtally-task-"))
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            archive.extractall(self._task_root)

    def invoke(self, event: Event) -> Any:
        instance = self._instance()
        try:
            return instance.invoke(event, self.configuration["Timeout"])
        except FunctionTimeout:
            instance.stop()  # as Lambda does; the next call gets a new instance
            raise
        finally:
            self._idle.append(instance)

    def _instance(self) -> "_Instance":
        with contextlib.suppress(IndexError):
            while True:
                instance = self._idle.pop()
                if instance.is_alive:
                    return instance
                instance.stop()
        instance = _Instance(self._environment(), self._task_root, self.log)
        self._all.append(instance)
        return instance

    def stop(self) -> None:
        for instance in self._all:
            instance.stop()
        shutil.rmtree(self._task_root, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        logging_config = self.configuration.get("LoggingConfig") or {}
        return {
            **self._aws_environment,
            **self.configuration.get("Environment", {}).get("Variables", {}),
            "_HANDLER": self.configuration["Handler"],
            "LAMBDA_TASK_ROOT": str(self._task_root),
            "AWS_LAMBDA_FUNCTION_NAME": self.configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": self.configuration["Version"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.configuration["MemorySize"]),
            "AWS_LAMBDA_LOG_FORMAT": logging_config.get("LogFormat", "Text"),
            "AWS_LAMBDA_LOG_LEVEL": logging_config.get("ApplicationLogLevel", "INFO"),
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


class _RuntimeServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the process has exited
            super().handle_error(request, client_address)


class _Instance:
    """One process, which serves one call at a time."""

    def __init__(self, environment: dict[str, str], task_root: Path, log: list[str]) -> None:
        self._events: queue.Queue[tuple[str, Event, float]] = queue.Queue()
        self._results: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._server = _RuntimeServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        host, port = self._server.server_address[:2]
        self._process = subprocess.Popen(
            [str(PYTHON), "-m", "awslambdaric", environment["_HANDLER"]],
            env={**environment, "AWS_LAMBDA_RUNTIME_API": f"{host!s}:{port}"},
            cwd=task_root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._drain, args=(log,), daemon=True)
        self._reader.start()

    def invoke(self, event: Event, timeout_seconds: float) -> Any:
        deadline = time.time() + timeout_seconds
        self._events.put((str(uuid.uuid4()), event, deadline))
        try:
            kind, body = self._results.get(timeout=timeout_seconds)
        except queue.Empty:
            raise FunctionTimeout from None
        if kind != "response":
            raise FunctionError(body.decode(errors="replace"))
        return json.loads(body)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._process.kill()
        self._reader.join()

    def _drain(self, log: list[str]) -> None:
        assert self._process.stdout
        with self._process.stdout as printed:
            for line in printed:
                log.append(line)
                logger.info(line.rstrip("\n"))
        self._process.wait()
        self._results.put(("exit", b"the process of the function has exited"))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        events, results = self._events, self._results

        class RuntimeApi(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request_id, event, deadline = events.get()
                self._reply(
                    200,
                    json.dumps(event).encode(),
                    {
                        "Lambda-Runtime-Aws-Request-Id": request_id,
                        "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:local",
                    },
                )

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) == size:  # it is shorter if the process exited while sending it
                    results.put((self.path.rsplit("/", 1)[1], body))  # response or error
                self._reply(202, b"{}", {})

            def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return RuntimeApi
