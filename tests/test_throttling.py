"""At the table's write limit, requests slow down and count everything once."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import pytest
from wordtally import handler

from bench.timing.endpoint import Endpoint
from bench.timing.instance import SETTINGS
from local.emulator import aws

WRITES_PER_SECOND = 200


@pytest.mark.parametrize("client", ["thin", "botocore"])
def test_two_concurrent_long_texts_are_counted_completely(client: str) -> None:
    texts = ["".join(chr(0x4E00 + offset + n) for n in range(300)) for offset in (0, 300)]
    context = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 30_000)

    def status(text: str) -> int:
        application = handler.application(replace(SETTINGS, aws_client=client))
        event = {"body": f'{{"parameter": "{text}"}}'}
        return int(handler.handle(lambda: application, event, context)["statusCode"])

    with mock.patch.dict(os.environ), aws.running("bench.timing.server") as url:
        endpoint = Endpoint(url)
        endpoint.reset(0, 1, WRITES_PER_SECOND)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(status, texts)) == [200, 200]
        calls = endpoint.seen().calls
    assert calls["UpdateItem"] == 600
    # Clients that did not slow down would be throttled almost 2,000 times.
    assert 0 < calls["throttled"] < 800
