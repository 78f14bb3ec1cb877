"""The reconciliation: a scan of the whole table, in memory that does not grow with the table."""

import json

from bench.measure import output, table
from bench.timing.designs import Endpoint

_RECONCILE = """
import json, sys, time
from unittest import mock
from wordtally import handler
from wordtally.domain import ranking
from wordtally.stores import counts
from wordtally.work import Work
from bench.timing import designs
with mock.patch.object(counts, "SEGMENTS", int(sys.argv[1])):
    application = handler.application(designs.SETTINGS)
    began, began_cpu = time.perf_counter(), time.process_time()
    work = Work()
    application.ranking.reconcile(work)
    print(json.dumps([
        work.scanned_pages, time.perf_counter() - began, time.process_time() - began_cpu,
        int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024,
    ]))
"""


def show(endpoint: Endpoint) -> None:
    print("\n## Reconciliation\n")
    print("The scheduled rebuild of the report from the table, 20 ms a page.")
    rows = []
    for size in (10_000, 100_000, 1_000_000):
        for segments in (1, 2, 4, 8):
            endpoint.reset(size, 20)
            rows.append([size, str(segments), *json.loads(output(_RECONCILE, str(segments)))])
    table("words | segments | pages | s | CPU s | MB of memory at the most", rows)
