"""The emulated AWS: moto in a separate process, with fixes for the behaviour that the product needs.

`make run` and `make demo` use it as it is, and `make stack` as a part of local.emulator.whole_aws.

As a program (`python -m local.emulator.aws`) it serves, prints its address and exits when its standard input
closes, so that it never outlives the process that started it.
"""

import calendar
import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

REGION = "eu-west-3"
ACCESS_KEY_ID = "local"
SECRET_ACCESS_KEY = "local-secret"  # nosec B105 # noqa: S105 - valid only for the emulated AWS

# Attributes with their key roles and types, as in modules/storage.
WORDS_KEY = {"word": ("HASH", "S")}
MARKERS_KEY = {"key": ("HASH", "S"), "chunk": ("RANGE", "N")}

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def environment(url: str) -> dict[str, str]:
    """Variables that make a process use the emulated AWS at `url`, with the operator's credentials."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # An IP address, so that botocore falls back to path-style URLs, which need no DNS.
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The user's own files may disable the endpoint or name a missing profile.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@functools.cache
def _session() -> Any:
    """One session for all clients: each session loads the service models again, in almost a second."""
    import boto3

    return boto3.Session()


def client(service: str, url: str, credentials: Mapping[str, str] | None = None) -> Any:
    """A boto3 client for the emulated AWS at `url` that ignores the environment.

    The keys of `credentials` are names of environment variables. The default credentials are the
    operator's.
    """
    credentials = credentials or environment(url)
    return _session().client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
    )


@contextlib.contextmanager
def running(module: str = "local.emulator.aws") -> Iterator[str]:
    """Run an emulated AWS for the duration of the context, and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "MOTO_DISABLE_GLOBAL_CORS": "true",  # each bucket's own configuration applies, as on S3
        },
        start_new_session=True,  # Ctrl-C must reach only the process that started it
    )
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the emulated AWS did not start")
        yield url
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def create_storage(
    url: str, table: str, bucket: str, markers: str, origins: Sequence[str] = ()
) -> None:
    """Create the parts of modules/storage that the function and pages of `origins` use."""
    for name, keys in [(table, WORDS_KEY), (markers, MARKERS_KEY)]:
        client("dynamodb", url).create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": attribute, "KeyType": role}
                for attribute, (role, _) in keys.items()
            ],
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": kind}
                for attribute, (_, kind) in keys.items()
            ],
        )
    s3 = client("s3", url)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    if origins:
        rule = {"AllowedMethods": ["GET"], "AllowedOrigins": list(origins), "MaxAgeSeconds": 3600}
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})


def delete_storage(url: str, table: str, bucket: str, markers: str) -> None:
    """Undo create_storage."""
    for name in (table, markers):
        client("dynamodb", url).delete_table(TableName=name)
    delete_bucket(client("s3", url), bucket)


def delete_bucket(s3: Any, bucket: str) -> None:
    """Delete a bucket with all its objects."""
    versions = s3.list_object_versions(Bucket=bucket)
    for stored in versions.get("Versions", []) + versions.get("DeleteMarkers", []):
        s3.delete_object(Bucket=bucket, Key=stored["Key"], VersionId=stored["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def answer(
    start_response: Callable[..., Any],
    body: bytes,
    status: str = "200 OK",
    kind: str = "application/octet-stream",
) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def refuse(start_response: Callable[..., Any], reason: str) -> list[bytes]:
    """Answer 403 as S3 does."""
    body = f"<Error><Code>AccessDenied</Code><Message>{reason}</Message></Error>".encode()
    return answer(start_response, body, "403 Forbidden", "application/xml")


def serialised(application: Wsgi) -> Wsgi:
    """Serve one request at a time: concurrent writes of an item or object are lost updates in moto."""
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            return list(application(environ, start_response))

    return serve


def checking_presigned_urls(application: Wsgi, secret_of: Callable[[str], str | None]) -> Wsgi:
    """Answer 403 to a presigned URL that S3 would refuse. moto checks neither its signature nor its age.

    `secret_of` returns the secret of an access key id, or None if there is no such key."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        problem = _problem(environ, query, secret_of) if "X-Amz-Signature" in query else None
        if problem:
            return refuse(start_response, problem)
        return application(environ, start_response)

    return serve


def _problem(
    environ: dict[str, Any], query: dict[str, str], secret_of: Callable[[str], str | None]
) -> str | None:
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    try:
        key_id, _, region, service, _ = query["X-Amz-Credential"].split("/")
        signed_at = time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        expires = int(query["X-Amz-Expires"])
    except (KeyError, ValueError):
        return "Query-string authentication parameters are missing or malformed"
    if time.time() > calendar.timegm(signed_at) + expires:
        return "Request has expired"
    unsigned = "&".join(
        part
        for part in environ["QUERY_STRING"].split("&")
        if not part.startswith("X-Amz-Signature=")
    )
    request = AWSRequest(
        method=environ["REQUEST_METHOD"],
        url=f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}?{unsigned}",
        headers={"host": environ["HTTP_HOST"]},
    )
    request.context["timestamp"] = query["X-Amz-Date"]
    secret = secret_of(key_id)
    if secret is None:
        return "The AWS Access Key Id you provided does not exist in our records"
    # The URL already has the session token, if any; the signer would add it again.
    signer = S3SigV4QueryAuth(Credentials(key_id, secret), service, region, expires)
    canonical = signer.canonical_request(request)
    right = signer.signature(signer.string_to_sign(request, canonical), request)
    if right != query["X-Amz-Signature"]:
        return "The request signature we calculated does not match the signature you provided"
    return None


def serve(application: Wsgi) -> None:
    """Serve on a free port until standard input ends."""
    from local.services.http_server import HttpServer

    # The parent process may have blocked these signals.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
    print(HttpServer(application, threads=32).serve_in_background().rstrip("/"), flush=True)
    sys.stdin.read()
    os._exit(0)  # without waiting for the server's threads


def moto() -> Wsgi:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from local.emulator import quick_dynamodb

    quick_dynamodb.skip_serialisation_of_items()
    quick_dynamodb.copy_only_what_a_transaction_writes()
    quick_dynamodb.free_copies()
    return serialised(DomainDispatcherApplication(create_backend_app))


if __name__ == "__main__":
    serve(checking_presigned_urls(moto(), {ACCESS_KEY_ID: SECRET_ACCESS_KEY}.get))
