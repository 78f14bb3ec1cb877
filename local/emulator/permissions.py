"""IAM for the functions of `make stack`: the emulated AWS refuses calls that a role's policy does not allow.

moto enforces policies too coarsely to prove anything (for DynamoDB only against the resource `*`). For
the services that a function calls, this module decides by exact action and ARN. The operator's key may
do everything.
"""

import fnmatch
import io
import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from local.emulator import aws

ACCOUNT = "123456789012"

_S3_VERBS = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}


def secret_of(access_key_id: str) -> str | None:
    """The secret of the operator's key or of an assumed role's key; None for an unknown key."""
    if access_key_id == aws.ACCESS_KEY_ID:
        return aws.SECRET_ACCESS_KEY
    role = _assumed_role(access_key_id)
    return role.secret_access_key if role else None


def enforcing(application: aws.Wsgi) -> aws.Wsgi:
    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        access_key_id = _access_key_id(environ)
        if access_key_id in (None, aws.ACCESS_KEY_ID):
            return application(environ, start_response)
        role = _assumed_role(access_key_id)
        needed = _needed_for(environ)
        if not role or not needed or not all(allowed(role.role_arn, *each) for each in needed):
            return _refuse(environ, start_response)
        (action, resource), *_ = needed
        if not action.startswith("s3:GetObject"):
            return application(environ, start_response)
        # As on S3, only callers who may list the bucket learn that an object is missing.
        answered: list[Any] = []
        body = application(environ, lambda *answer: answered.append(answer))
        bucket = resource.split("/")[0]  # of arn:aws:s3:::bucket/key
        if answered[0][0].startswith("404") and not allowed(role.role_arn, "s3:ListBucket", bucket):
            return _refuse(environ, start_response)
        start_response(*answered[0])
        return body

    return serve


def allowed(role_arn: str, action: str, resource: str) -> bool:
    """Whether the inline policies of a role allow an action on a resource. A Deny takes precedence."""
    from moto.iam.models import iam_backends

    role = iam_backends[ACCOUNT]["aws"].get_role_by_arn(role_arn)
    effects = set()
    for document in role.policies.values():
        for statement in json.loads(document)["Statement"]:
            if statement.keys() - {"Sid", "Effect", "Action", "Resource"}:
                raise NotImplementedError(f"unsupported statement: {statement}")
            if _matches(statement["Action"], action) and _matches(statement["Resource"], resource):
                effects.add(statement["Effect"])
    return effects == {"Allow"}


def lets_call(policy: str, service: str, source_arn: str) -> bool:
    """Whether a function's policy lets a service call it on behalf of a resource of this account."""
    return any(
        statement["Principal"] == {"Service": service}
        and fnmatch.fnmatchcase(source_arn, statement["Condition"]["ArnLike"]["AWS:SourceArn"])
        and statement["Condition"].get("StringEquals", _THIS_ACCOUNT) == _THIS_ACCOUNT
        for statement in json.loads(policy)["Statement"]
    )


_THIS_ACCOUNT = {"AWS:SourceAccount": ACCOUNT}

_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Bool": str.__eq__,
    "StringEquals": str.__eq__,
    "NumericGreaterThan": lambda value, limit: float(value) > float(limit),
}


def holds(condition: dict[str, dict[str, Any]], request: dict[str, str | None]) -> bool:
    """Whether a statement's Condition holds: every key must match one of its values.

    A key that the request lacks (None) matches no value. Raise KeyError for an unsupported operator or
    key.
    """

    def meets(operator: str, key: str, values: str | list[str]) -> bool:
        found = request[key]
        return found is not None and any(_OPERATORS[operator](found, one) for one in _list(values))

    return all(
        meets(operator, key, values)
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _matches(patterns: str | list[str], value: str) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in _list(patterns))


def _list(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values


def _assumed_role(access_key_id: str | None) -> Any:
    from moto.sts.models import sts_backends

    return sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(access_key_id)


def _access_key_id(environ: dict[str, Any]) -> str | None:
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if "X-Amz-Credential" in query:
        return str(query["X-Amz-Credential"][0].split("/")[0])
    signed = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return signed[1] if signed else None


def _needed_for(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """IAM actions and ARNs that a call to DynamoDB, Kinesis, SQS or S3 needs; none for other calls."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    prefix, _, operation = target.partition(".")
    if prefix in _NEEDED_FOR_TARGET:
        stream = environ["wsgi.input"]
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        return _NEEDED_FOR_TARGET[prefix](operation, json.loads(body))
    path = re.fullmatch(r"/([a-z0-9-]+)/(.+)", environ["PATH_INFO"], flags=re.S)
    verb = _S3_VERBS.get(environ["REQUEST_METHOD"])
    if path and verb and not target:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        kind = ("Version" if "versionId" in query else "") + (
            "Tagging" if "tagging" in query else ""
        )
        return [(f"s3:{verb}Object{kind}", f"arn:aws:s3:::{path[1]}/{path[2]}")]
    return []


def _needed_for_kinesis(operation: str, request: dict[str, Any]) -> list[tuple[str, str]]:
    if operation == "ListStreams":
        return [("kinesis:ListStreams", "*")]  # it does not support resource-level permissions
    named = f"arn:aws:kinesis:{aws.REGION}:{ACCOUNT}:stream/{request.get('StreamName')}"
    return [(f"kinesis:{operation}", request.get("StreamARN", named))]


def _needed_for_sqs(operation: str, request: dict[str, Any]) -> list[tuple[str, str]]:
    queue = request.get("QueueUrl", "").rpartition("/")[2]
    return [(f"sqs:{operation}", f"arn:aws:sqs:{aws.REGION}:{ACCOUNT}:{queue}")]


def _needed_for_dynamodb(operation: str, request: dict[str, Any]) -> list[tuple[str, str]]:
    """A transaction needs the permissions of each of its actions."""
    if operation == "TransactWriteItems":
        tables = [
            (f"{kind}Item", action["TableName"])
            for entry in request["TransactItems"]
            for kind, action in entry.items()
        ]
    elif operation == "BatchGetItem":
        tables = [(operation, table) for table in request["RequestItems"]]
    else:
        tables = [(operation, request["TableName"])]
    prefix = f"arn:aws:dynamodb:{aws.REGION}:{ACCOUNT}:table/"
    return [(f"dynamodb:{action}", prefix + table) for action, table in dict.fromkeys(tables)]


_NEEDED_FOR_TARGET = {
    "DynamoDB_20120810": _needed_for_dynamodb,
    "Kinesis_20131202": _needed_for_kinesis,
    "AmazonSQS": _needed_for_sqs,
}
"""Keyed by the prefix of the header X-Amz-Target."""


def _refuse(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if "HTTP_X_AMZ_TARGET" not in environ:
        return aws.refuse(start_response, "Access Denied")
    body = b'{"__type": "com.amazon.coral.service#AccessDeniedException", "message": "denied"}'
    return aws.answer(start_response, body, "400 Bad Request", "application/x-amz-json-1.0")
