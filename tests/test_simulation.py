"""The simulation behind docs/scale.md: properties without which its figures would be meaningless."""

import math
from dataclasses import replace
from pathlib import Path

import hcl2
import pytest
from wordtally import handler

from bench.measure import MB_PER_VCPU, MEMORY_MB
from bench.simulation import results, streamed, synchronous, workload
from bench.simulation.cloud import DEFAULT_LIMITS, DEFAULT_TIMING
from bench.simulation.streamed import Feed
from bench.simulation.virtual import Clock
from bench.timing.instance import SETTINGS

ROOT = Path(__file__).parents[1]


def test_a_run_is_the_same_every_time() -> None:
    first = synchronous.run(rate=50, seconds=2)
    assert synchronous.run(rate=50, seconds=2) == first
    assert synchronous.run(rate=50, seconds=2, seed=2) != first


def test_a_single_request_takes_the_time_of_its_sequential_calls() -> None:
    timing = replace(DEFAULT_TIMING, spread=0.0)
    row = synchronous.run(rate=0.02, seconds=600, timing=timing)
    cpu = timing.cpu_per_call
    publish = cpu + timing.put
    alone = 10 * cpu + timing.update + publish
    # The first requests of an instance read the report during their upserts.
    reading = max(11 * cpu + timing.update, cpu + timing.get) + publish
    assert [row.p50, row.p99] == pytest.approx([alone, reading])
    assert (row.conflicts, row.publishes) == (0, 1)
    assert row.upserts == 10
    assert row.gets < 0.3
    assert row.exact


def test_concurrent_requests_end_with_the_right_report() -> None:
    row = synchronous.run(rate=200, seconds=2)
    assert row.conflicts > 1
    assert row.publishes < 0.5
    assert row.exact
    assert row.unavailable == row.refused == 0


def test_the_limit_per_item_caps_the_throughput() -> None:
    limits = replace(DEFAULT_LIMITS, item_writes=50)
    under = synchronous.run(rate=40, seconds=4, limits=limits)
    over = synchronous.run(rate=100, seconds=4, limits=limits)
    assert under.unavailable == 0
    assert over.answered < 55
    assert over.throttled > 0.5
    assert over.p50 > 2 * under.p99
    assert over.unavailable == 0  # throttled calls are retried until the deadline
    lifted = replace(limits, item_writes=math.inf)
    assert synchronous.run(rate=100, seconds=4, limits=lifted).throttled == 0


def test_calls_are_throttled_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "ANSWER_WITHIN_SECONDS", 1)
    limits = replace(DEFAULT_LIMITS, item_writes=50)
    row = synchronous.run(rate=100, seconds=4, limits=limits)
    assert row.unavailable > 0.1
    assert row.p99 < 1.2


def test_lambda_throttles_requests_beyond_its_concurrency() -> None:
    row = synchronous.run(rate=40, seconds=3, limits=replace(DEFAULT_LIMITS, concurrency=2))
    assert row.at_once == 2
    assert row.refused > 0.3
    assert row.exact


def test_the_stream_counts_every_text_once_and_writes_hot_words_rarely() -> None:
    outcome = streamed.run(Feed(200, shards=2), windows=2)
    assert outcome.exact
    assert outcome.hottest * 200 < 200 / 20  # requests without the stream write `the` for each text
    assert outcome.write_units < workload.WORDS_PER_TEXT
    assert outcome.write_units > outcome.words_written  # the plans take the rest
    assert 5 / 2 < outcome.age_p50 < outcome.age_p99 < 15
    assert streamed.run(Feed(200, shards=2), windows=2) == outcome


def test_a_table_that_throttles_delays_the_stream_and_loses_nothing() -> None:
    limits = replace(DEFAULT_LIMITS, table_writes=1_000)
    outcome = streamed.run(Feed(200, shards=1), limits, windows=2)
    assert outcome.throttled > 0
    assert outcome.exact


def test_the_clock_reports_failed_tasks_and_stuck_tasks() -> None:
    def fail() -> None:
        clock.sleep(1)
        raise ZeroDivisionError

    clock = Clock()
    clock.start(fail)
    with pytest.raises(ZeroDivisionError):
        clock.run()
    assert clock.now == 1

    clock = Clock()
    clock.start(lambda: clock.wait_for(lambda resume: None))
    with pytest.raises(AssertionError, match="a task waits"):
        clock.run()


def test_its_assumptions_match_the_deployment() -> None:
    with (ROOT / "variables.tf").open() as opened:
        variables = {
            name.strip('"'): body
            for block in hcl2.load(opened)["variable"]
            for name, body in block.items()
        }
    assert variables["throttle_rate_per_second"]["default"] == results.THROTTLE
    assert variables["max_writes_per_second"]["default"] == results.NEW_TABLE.table_writes
    assert variables["scan_up_to_words"]["default"] == SETTINGS.scan_up_to_words
    with (ROOT / "main.tf").open() as opened:
        modules = [block for block in hcl2.load(opened)["module"] if '"function"' in block]
    assert modules[0]['"function"']["memory_mb"] == MEMORY_MB == MB_PER_VCPU
