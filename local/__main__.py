"""`make run`: serve the product until Ctrl-C or SIGTERM; PORT and API_KEY are in the environment."""

import os
import shlex
import signal
import sys

from local.instances import log_to_stdout
from local.server import serving


def main() -> int:
    port = os.environ.get("PORT", "8080")
    api_key = os.environ.get("API_KEY", "")
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        print(f"PORT must be a number from 0 to 65535, not {port!r}.", file=sys.stderr)
        return 2
    # Blocked in every thread, so that only sigwait below receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    log_to_stdout()
    try:
        with serving(int(port), api_key) as url:
            key = f" -H {shlex.quote(f'x-api-key: {api_key}')}" if api_key else ""
            print(
                f"Wordtally is running on {url} (Ctrl-C ends it; counts are kept in memory).\n"
                f"Post a text, then open the URL in the answer:\n\n"
                f'  curl -X POST -H "Content-Type: application/json"{key}'
                f' -d \'{{"parameter": "hello world"}}\' {url}\n',
                flush=True,
            )
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
            # At once: requests under way have threads that Python would wait for. The emulated
            # AWS ends with us.
            os._exit(0)
    except OSError as error:
        print(f"Cannot serve on port {port} ({error}).", file=sys.stderr)
        print("Choose another one: make run PORT=9000", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
