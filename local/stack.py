"""`make stack`: applies the whole product to an emulated AWS with Terraform, and serves it from there.

Requests are served by the deployed resources: the zip in a Lambda runtime, its environment, its role's
policy, the routes and, with API_KEY, the authorizer. PORT and API_KEY come from the environment.
"""

import contextlib
import logging
import os
import shutil
import signal
import sys

from local.emulator import aws
from local.server import curl, key_of_environment, listening
from local.services import deployed
from local.services.gateway import Gateway
from local.terraform import ROOT, Missing, Terraform, TerraformError, init_arguments


def main() -> None:
    # SIGTERM acts like Ctrl-C, even during the apply.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    api_key = key_of_environment()
    try:
        init_arguments()
    except Missing as reason:
        sys.exit(str(reason))
    shown = logging.getLogger("local.services.runtime")
    shown.addHandler(logging.StreamHandler(sys.stdout))
    shown.setLevel(logging.INFO)
    server = listening(Gateway({}))  # before anything else is started
    directory = ROOT / "build" / "stack"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)  # otherwise its threads would outlive a failed apply
        cloud = stack.enter_context(aws.running("local.emulator.whole_aws"))
        print(f"Applying Terraform to the emulated AWS at {cloud} (about a minute) …", flush=True)
        try:
            configuration = Terraform(directory, cloud)
            configuration.without_lifecycle()
            applied = configuration.apply(api_key=api_key, enable_inbox=True, stream_shards=1)
            outputs = configuration.outputs()
        except TerraformError as error:
            sys.exit(str(error))
        print("Apply complete!" + applied.split("Apply complete!")[1])
        product = stack.enter_context(deployed.product(cloud, "wordtally"))
        product.answer_at(server)
        product.listen()
        url = server.serve_in_background()
        export = (
            f"export AWS_ACCESS_KEY_ID={aws.ACCESS_KEY_ID} AWS_ENDPOINT_URL={cloud}"
            f" AWS_SECRET_ACCESS_KEY={aws.SECRET_ACCESS_KEY} AWS_DEFAULT_REGION={aws.REGION}"
        )
        print(
            f"Open {url} in a browser. (Ctrl-C ends it.)\n"
            f"Or post a text to the deployed route, then open the URL in the answer:\n\n"
            f"  {curl(url, api_key)}\n\n"
            f"Or count a file or a record of the stream with the AWS CLI:\n\n"
            f"  {export}\n"
            f"  aws s3 cp examples/alice.txt s3://{outputs['inbox_bucket']}/"
            f" --endpoint-url {cloud}\n"
            f"  aws kinesis put-record --stream-name {outputs['stream_name']} --partition-key any"
            f' --cli-binary-format raw-in-base64-out --data \'{{"parameter": "hello world"}}\''
            f" --endpoint-url {cloud}\n\n"
            f"With these variables you can also inspect the deployment with any AWS client, or with"
            f" Terraform in {directory.relative_to(ROOT)}.\n",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        product.stop()
        os._exit(0)  # without waiting for the server's threads; the emulated AWS exits too


if __name__ == "__main__":
    main()
