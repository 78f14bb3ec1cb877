"""`make run`: serve the product until Ctrl-C or SIGTERM. The environment has PORT and API_KEY."""

import os
import signal

from local.server import curl, key_of_environment, serving
from local.services.instances import log_to_stdout


def main() -> None:
    api_key = key_of_environment()
    # Blocked in every thread, so that only sigwait below receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    log_to_stdout()
    with serving(api_key) as url:
        print(
            f"Open {url} in a browser. (Ctrl-C ends it; counts are kept in memory.)\n"
            f"Or post a text, then open the URL in the answer:\n\n  {curl(url, api_key)}\n",
            flush=True,
        )
        signal.sigwait([signal.SIGINT, signal.SIGTERM])
        # Exit at once: Python would wait for the threads of requests in flight. The emulated AWS
        # exits with this process.
        os._exit(0)


if __name__ == "__main__":
    main()
