"""The reconciliation: a scan of the whole table, in memory that does not grow with the table."""

from bench.measure import in_new_process, table
from bench.timing.endpoint import Endpoint
from bench.timing.instance import reconcile


def show(endpoint: Endpoint) -> None:
    print("\n## Reconciliation\n")
    print("The scheduled rebuild of the report from the table, 20 ms a page.")
    rows = []
    for size in (10_000, 100_000, 1_000_000):
        for segments in (1, 2, 4, 8):
            endpoint.reset(size, 20)
            rows.append([size, str(segments), *in_new_process(reconcile, segments)])
    table("words | segments | pages | s | CPU s | MB of memory at the most", rows)
