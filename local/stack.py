"""`make stack`: Terraform applies the whole product to an emulated AWS, and it is served from there.

What answers is what was deployed: the zip in a Lambda runtime, its environment, its role's policy,
the route and, with API_KEY, the authorizer. PORT and API_KEY come from the environment.
"""

import os
import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path

from cheroot.wsgi import Server

from local import aws, deployed
from local.terraform import ROOT, Missing, Terraform, TerraformError


def main() -> None:
    api_key = os.environ.get("API_KEY", "")
    port = int(os.environ.get("PORT") or "8080")
    directory = Path(ROOT / "build" / "stack")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    with aws.running("local.whole_aws") as cloud:
        print(f"Applying Terraform to the emulated AWS at {cloud} (half a minute) …", flush=True)
        try:
            configuration = Terraform(directory, cloud)
            configuration.without_lifecycle()
            applied = configuration.apply(api_key=api_key)
        except (Missing, TerraformError) as error:
            sys.exit(str(error))
        print("Apply complete!" + applied.split("Apply complete!")[1])
        with deployed.product(cloud, "wordtally") as product:
            server = Server(("127.0.0.1", port), product.gateway(), numthreads=32)
            server.prepare()
            threading.Thread(target=server.serve, daemon=True).start()
            url = f"http://127.0.0.1:{server.bind_addr[1]}/"
            key = f" -H {shlex.quote(f'x-api-key: {api_key}')}" if api_key else ""
            print(
                f"The deployed route answers on {url} (Ctrl-C ends it).\n\n"
                f'  curl -X POST -H "Content-Type: application/json"{key}'
                f' -d \'{{"parameter": "hello world"}}\' {url}\n\n'
                f"Look around with any AWS client: --endpoint-url {cloud}"
                f" (AWS_ACCESS_KEY_ID={aws.ACCESS_KEY_ID}"
                f" AWS_SECRET_ACCESS_KEY={aws.SECRET_ACCESS_KEY}, {aws.REGION}),\n"
                f"or with Terraform in {directory.relative_to(ROOT)}.\n",
                flush=True,
            )
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
            product.stop()
            os._exit(0)  # without waiting for the server's threads; the emulated AWS ends with us


if __name__ == "__main__":
    main()
