"""Which of botocore's own errors mean that AWS is unavailable."""

import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError
from wordtally import aws
from wordtally.errors import Unavailable


@pytest.mark.parametrize(
    "error",
    [
        exceptions.EndpointConnectionError(endpoint_url="https://aws"),
        exceptions.ConnectTimeoutError(endpoint_url="https://aws"),
        exceptions.ProxyConnectionError(proxy_url="http://proxy"),
        exceptions.SSLError(endpoint_url="https://aws", error=OSError("handshake")),
        exceptions.ReadTimeoutError(endpoint_url="https://aws"),
        exceptions.ConnectionClosedError(endpoint_url="https://aws"),
        exceptions.ResponseStreamingError(error="cut"),
        exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        exceptions.FlexibleChecksumError(error_msg="crc32"),
        exceptions.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
        ResponseParserError("garbage"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_connection_errors_and_unreadable_answers_are_unavailable(error: Exception) -> None:
    cause = f"^Scan: {type(error).__name__}$"
    with pytest.raises(Unavailable, match=cause), aws.translated_errors("Scan"):
        raise error


@pytest.mark.parametrize(
    "error",
    [exceptions.NoCredentialsError(), exceptions.ParamValidationError(report="a value")],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_our_own_making_are_not(error: Exception) -> None:
    with pytest.raises(type(error)), aws.translated_errors("Scan"):
        raise error
