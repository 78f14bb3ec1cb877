"""Which of botocore's own errors mean that AWS is away."""

import pytest
from botocore import exceptions
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
    ],
    ids=lambda error: type(error).__name__,
)
def test_connection_errors_are_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable, match=f"^{type(error).__name__}$"), aws.translated_errors():
        raise error


@pytest.mark.parametrize(
    "error",
    [exceptions.NoCredentialsError(), exceptions.ParamValidationError(report="a value")],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_our_own_making_are_not(error: Exception) -> None:
    with pytest.raises(type(error)), aws.translated_errors():
        raise error
