"""List prices in USD, without free tiers and taxes, looked up in November 2026.

The region is Europe (Paris), eu-west-3, if a public quote of AWS's price list or of a bill was found.
Otherwise the price is marked as that of US East (N. Virginia), us-east-1; Paris is up to a fifth more
expensive. docs/scale.md names the sources.
"""

from bench.measure import MEMORY_MB

SECONDS_PER_MONTH = 30 * 24 * 3_600
HOURS_PER_MONTH = 30 * 24

# Per million.
HTTP_API_REQUEST = 1.00  # us-east-1; the first 300 million a month
LAMBDA_REQUEST = 0.20
DYNAMODB_WRITE_UNIT = 0.7423  # on demand; an item of up to 1 KB
DYNAMODB_READ_UNIT = 0.1487  # on demand; 4 KB consistently, 8 KB eventually
S3_PUT = 5.30  # conditional writes that fail are billed too
S3_GET = 0.42
KINESIS_PUT_UNIT = 0.0173  # a record of up to 25 KB; from a project's figures; 0.014 in us-east-1

# Per GB-second of memory, the first price tier.
LAMBDA_ARM64_GB_SECOND = 0.0000133334

# Per hour.
KINESIS_SHARD_HOUR = 0.0179  # from a project's figures; 0.015 in us-east-1

# Per GB.
LOGS_INGESTED_GB = 0.50  # us-east-1; CloudWatch, the standard class

LOG_BYTES = 650
"""Log bytes per request: the function's summary line and the API's access log."""


def usd(
    *,
    requests: float = 1,
    invocations: float = 1,
    seconds: float,
    write_units: float,
    read_units: float = 0,
    puts: float,
    gets: float,
    put_units: float = 0,
    shard_seconds: float = 0,
    logs: float = 1,
) -> dict[str, float]:
    """USD by service for a million texts, each of which takes what the parameters state.

    `requests` are those to the HTTP API, `seconds` the function's, and `logs` lines of LOG_BYTES.
    `puts` and `gets` are calls of S3; `put_units` and `shard_seconds` belong to Kinesis.
    """
    gigabyte_seconds = MEMORY_MB / 1_024 * seconds * 1e6
    return {
        "HTTP API": requests * HTTP_API_REQUEST,
        "Lambda": invocations * LAMBDA_REQUEST + gigabyte_seconds * LAMBDA_ARM64_GB_SECOND,
        "Kinesis": put_units * KINESIS_PUT_UNIT + shard_seconds * 1e6 / 3_600 * KINESIS_SHARD_HOUR,
        "DynamoDB": write_units * DYNAMODB_WRITE_UNIT + read_units * DYNAMODB_READ_UNIT,
        "S3": puts * S3_PUT + gets * S3_GET,
        "logs": logs * LOG_BYTES * 1e6 / 1e9 * LOGS_INGESTED_GB,
    }
