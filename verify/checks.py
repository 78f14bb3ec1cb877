"""Checks of a deployment. The tests run them on the emulated AWS, `make verify` runs them on an account.
The name of a check says what must hold or what is measured. Its function returns the observed value,
which is compared with `expected`."""

import datetime
import gzip
import json
import random
import re
import statistics
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import urlsplit

import requests
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from local.terraform import TerraformError
from verify.places import Account, Place

PAGE = "https://pages.example.com"
"""The origin in `cors_allowed_origins` while the checks of OPTIONS run."""

ELSEWHERE = "https://elsewhere.example"
"""An origin that is not allowed."""

NO_PAGE = "GET / 404; GET /report 200; the page's origin: not allowed"
"""What `without_the_page` returns if `enable_page` is false."""

WEEK_SECONDS = 604_800

CANARY = "Canary: send a JSON body"
"""The beginning of an error message in the second version."""


@dataclass(frozen=True)
class Between:
    """Any number from `low` to `high`."""

    low: float
    high: float

    def __contains__(self, seen: float) -> bool:
        return self.low <= seen <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Figure:
    """A number to report: no value fails the run."""

    note: str

    def __contains__(self, seen: object) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.note}, not enforced"


@dataclass(frozen=True)
class Check:
    name: str
    expected: str | Between | Figure
    see: Callable[[Any], object]
    """Return what was seen at a Place. May raise any exception."""

    def agrees(self, seen: Any) -> bool:
        if isinstance(self.expected, str):
            return str(seen) == self.expected
        return seen in self.expected

    def __str__(self) -> str:
        return self.name


FIRST: list[Check] = []
"""Checks that run before all others, as they time the first request."""

ALWAYS: list[Check] = []
"""Checks of every deployment."""

OPTIONS: list[Check] = []
"""Checks that need keys, CORS for PAGE, the schedule, the inbox and the stream."""

CHANGES: list[Check] = []
"""Checks that change a deployment, which must have keys. They run in this order."""

ACCOUNT_ONLY: list[Check] = []
"""Checks that need a real account. They run in this order; the last ones leave the API throttled."""

See = TypeVar("See", bound=Callable[[Any], object])


def check(group: list[Check], name: str, expected: str | Between | Figure) -> Callable[[See], See]:
    def add(see: See) -> See:
        group.append(Check(name, expected, see))
        return see

    return add


@check(FIRST, "Seconds that a first request takes (cold)", Figure("below 3"))
def first_request(place: Place) -> float:
    """A new API takes some seconds to become available, so failed requests are retried."""

    def timed() -> tuple[int, float]:
        started = time.perf_counter()
        try:
            status = place.post("a first text").status_code
        except requests.ConnectionError:  # the API's name does not resolve yet
            status = 0
        return status, round(time.perf_counter() - started, 2)

    status, seconds = place.eventually(timed, lambda seen: seen[0] == 200)
    if status != 200:
        raise RuntimeError(f"no request was answered with 200; the last status was {status}")
    return seconds


@check(FIRST, "Seconds that a warm request takes (median of 10)", Figure("below 0.5"))
def warm_request(place: Place) -> float:
    return round(
        statistics.median(place.post("a text").elapsed.total_seconds() for _ in range(10)), 3
    )


@check(ALWAYS, "A second plan has no changes, even without the built zip", "no changes")
def no_changes(place: Place) -> str:
    for file in (place.terraform.directory / "build").iterdir():
        file.unlink()
    try:
        place.plan_is_empty()
    except TerraformError as error:
        return brief(str(error))
    return "no changes"


@check(
    ALWAYS,
    "Two texts are counted, and the link opens the report",
    "200, 200; the ×3, dog ×2, cat ×1; application/json; the ten most frequent words",
)
def counts_publishes_and_links(place: Place) -> str:
    mark = uuid.uuid4().hex
    texts = [f"The{mark} cat{mark}, the{mark} dog{mark}.", f"the{mark} DOG{mark}"]
    answers = [place.post(text) for text in texts]
    statuses = ", ".join(str(answer.status_code) for answer in answers)
    if statuses != "200, 200":
        return statuses
    url = answers[-1].json()["url"]
    opened = requests.get(url, timeout=30)
    table = words(place)
    counted = ", ".join(f"{word} ×{table.get(word + mark)}" for word in ["the", "dog", "cat"])
    top = sorted(table.items(), key=lambda item: (-item[1], item[0]))[:10]
    exact = opened.json() == {"top10words": [{"word": w, "times": n} for w, n in top]}
    report = "the ten most frequent words" if exact else f"not the top ten: {opened.text}"
    if ("versionId=" in url) != bool(place.variables.get("enable_s3_versioning")):
        report += "; the link must pin a version if and only if the bucket is versioned"
    return f"{statuses}; {counted}; {opened.headers['content-type']}; {report}"


@check(ALWAYS, "A bad body and an unknown route are refused", "400 invalid_json; 404 Not Found")
def refuses_bad_requests(place: Place) -> str:
    bad = requests.post(place.uri, data="hello", headers={"x-api-key": place.key}, timeout=30)
    lost = requests.post(f"{place.uri}nowhere", timeout=30)
    return f"{bad.status_code} {bad.json()['code']}; {lost.status_code} {lost.json()['message']}"


@check(
    ALWAYS,
    "GET /report links to the report and counts nothing",
    "200; the report; table and bucket as before",
)
def a_link_counts_nothing(place: Place) -> str:
    def stored() -> dict[str, Any]:
        report = place.client("s3").get_object(
            Bucket=place.outputs["reports_bucket"], Key="top.json"
        )
        written = {name: report.get(name) for name in ("ETag", "LastModified", "VersionId")}
        return {"table": words(place), "report": report["Body"].read(), **written}

    place.post("a text")
    before = stored()
    answer = place.link()
    if answer.status_code != 200:
        return str(answer.status_code)
    opened = requests.get(answer.json()["url"], timeout=30)
    report = "the report" if opened.content == before["report"] else f"other text: {opened.text}"
    unchanged = stored() == before
    return f"200; {report}; table and bucket {'as before' if unchanged else 'were written to'}"


@check(
    ALWAYS,
    "A request writes one line to the log, without its text and key",
    "one line: 200, 2 distinct, with its request id; no text and no key; no other logger",
)
def logs_one_line_without_text(place: Place) -> str:
    # The random size identifies the request's line.
    secret, size = f"zz{uuid.uuid4().hex}", random.randrange(1_000, 4_000)
    place.post(f"{secret}{' w' * (size - 1)}")

    def summaries() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in place.log(place.name) if line.startswith("{")]
        return [line for line in lines if line.get("words") == size]

    found = place.eventually(summaries, bool)
    if len(found) != 1:
        return f"{len(found)} lines"
    (line,) = found
    request_id = "with its request id" if line.get("requestId") else "without a request id"
    log = place.log(place.name)
    leaked = [
        what
        for what, value in [("a text", secret), ("a key", place.key)]
        if value and value in "\n".join(log)
    ]
    loggers = {json.loads(each).get("logger") for each in log if each.startswith("{")}
    others = sorted(loggers - {None, "wordtally"})
    return (
        f"one line: {line['status']}, {line['distinct']} distinct, {request_id}; "
        f"{' and '.join(leaked) or 'no text and no key'}; {', '.join(others) or 'no other logger'}"
    )


@check(
    ALWAYS,
    "With an Idempotency-Key, a text is counted once, and another text is refused",
    "4 times 200; ×1; 422 idempotency_key_reused",
)
def counts_once_under_a_key(place: Place) -> str:
    word = f"00{uuid.uuid4().hex}"
    key = {"idempotency-key": word}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: place.post(word, **key), range(4)))
    fine = sum(answer.status_code == 200 for answer in answers)
    reused = place.post(f"{word} and more", **key)
    code = reused.json().get("code")
    return f"{fine} times 200; ×{words(place).get(word)}; {reused.status_code} {code}"


@check(
    ALWAYS,
    "The report opens only with a recent signature, even if it was signed for a week",
    "unsigned 403; younger than presigned_url_expiry 200; older 403",
)
def the_bucket_refuses_old_signatures(place: Place) -> str:
    report = place.post("a text").json()["url"].split("?")[0]
    expiry = int(place.variables.get("presigned_url_expiry", 600))
    signer = S3SigV4QueryAuth(place.credentials(), "s3", place.region, expires=WEEK_SECONDS)
    unsigned, younger, older = (
        requests.get(url, timeout=30).status_code
        for url in [
            report,
            # A minute on either side, as this machine's clock may differ.
            str(signed(signer, report, expiry - 60).url),
            str(signed(signer, report, expiry + 60).url),
        ]
    )
    return f"unsigned {unsigned}; younger than presigned_url_expiry {younger}; older {older}"


@check(
    OPTIONS,
    "Requests need a valid key",
    "none 401; a wrong one 403; api_key 200; api_key_previous 200",
)
def requests_need_a_valid_key(place: Place) -> str:
    none = requests.post(place.uri, json={"parameter": "a"}, timeout=30).status_code
    wrong, right, previous = (
        place.post("a", key).status_code
        for key in ["wrong", place.key, place.variables["api_key_previous"]]
    )
    return f"none {none}; a wrong one {wrong}; api_key {right}; api_key_previous {previous}"


@check(OPTIONS, "Requests for a link need a valid key", "none 401; a wrong one 403; api_key 200")
def links_need_a_valid_key(place: Place) -> str:
    place.post("a text")
    none = requests.get(f"{place.uri}report", timeout=30).status_code
    wrong, right = (place.link(key).status_code for key in ["wrong", place.key])
    return f"none {none}; a wrong one {wrong}; api_key {right}"


@check(
    OPTIONS,
    "Anybody may load the page, and the page may call only the API and the report",
    "200 without a key; text/html, nosniff; gzip on request; 304 with its ETag; "
    "default-src 'none'; connect-src 'self' and the report's origin; frame-ancestors 'none'",
)
def anybody_may_load_the_page(place: Place) -> str:
    page, plain = (
        requests.get(place.uri, headers={"Accept-Encoding": encoding}, timeout=30)
        for encoding in ["gzip", "identity"]
    )
    if (page.status_code, plain.status_code) != (200, 200):
        return f"{page.status_code} and {plain.status_code}"
    headers = page.headers
    again = requests.get(place.uri, headers={"If-None-Match": headers["etag"]}, timeout=30)
    encodings = [answer.headers.get("content-encoding") for answer in (page, plain)]
    same = page.text == plain.text
    report = origin_of(place.post("a text").json()["url"])
    policy = "; ".join(
        directive
        for directive in headers["content-security-policy"].split("; ")
        if directive.split()[0] in ("default-src", "connect-src", "frame-ancestors")
    ).replace(f" {report}", " and the report's origin")
    return (
        f"200 without a key; {headers['content-type'].split(';')[0]}, "
        f"{headers['x-content-type-options']}; "
        f"{'gzip on request' if same and encodings == ['gzip', None] else encodings}; "
        f"{again.status_code} with its ETag; {policy}"
    )


@check(
    OPTIONS,
    "The page may read the report; pages of other origins may not",
    f"the page's origin: allowed; {ELSEWHERE}: not allowed",
)
def only_the_page_may_read_the_report(place: Place) -> str:
    url = place.post("a text").json()["url"]
    own, other = (reads(origin, url) for origin in [origin_of(place.uri), ELSEWHERE])
    return f"the page's origin: {own}; {ELSEWHERE}: {other}"


@check(OPTIONS, "The functions' configuration holds no key", "no key")
def no_key_is_in_the_configuration(place: Place) -> str:
    configurations = json.dumps(
        [
            place.client("lambda").get_function_configuration(FunctionName=name)
            for name in [place.name, f"{place.name}-authorizer"]
        ]
    )
    keys = ["api_key", "api_key_previous"]
    found = [name for name in keys if place.variables[name] in configurations]
    return " and ".join(found) or "no key"


@check(
    OPTIONS,
    "Pages of the allowed origin may call the API; others may not",
    "preflight 204 with origin, prefer, x-api-key, GET and POST; another origin: nothing; "
    "an answer with origin",
)
def pages_of_the_allowed_origin_may_call(place: Place) -> str:
    asks = {"Access-Control-Request-Method": "POST"}
    origin = "access-control-allow-origin"
    allowed = requests.options(place.uri, headers={"Origin": PAGE, **asks}, timeout=30)
    other = requests.options(place.uri, headers={"Origin": ELSEWHERE, **asks}, timeout=30)
    answer = place.post("a", Origin=PAGE)
    with_origin = {True: "with origin", False: "without origin"}
    listed = re.findall(r"[\w-]+", allowed.headers.get("access-control-allow-headers", ""))
    headers = [name for name in ("prefer", "x-api-key") if name in listed]
    methods = re.findall(r"\w+", allowed.headers.get("access-control-allow-methods", ""))
    return (
        f"preflight {allowed.status_code} {with_origin[allowed.headers.get(origin) == PAGE]}, "
        f"{', '.join(headers) or 'no header'}, {' and '.join(sorted(methods))}; "
        f"another origin: {other.headers.get(origin, 'nothing')}; "
        f"an answer {with_origin[answer.headers.get(origin) == PAGE]}"
    )


@check(
    OPTIONS,
    "The schedule's target repairs a report that a crash left incomplete",
    "one target, no error; the missing word is first",
)
def the_schedule_repairs_the_report(place: Place) -> str:
    word = f"crashed{uuid.uuid4().hex}"
    place.post("a b")
    place.client("dynamodb").put_item(
        TableName=place.outputs["words_table"],
        Item={"word": {"S": word}, "times": {"N": str(max(words(place).values()) + 1)}},
    )
    results = place.run_schedules()
    report = place.client("s3").get_object(Bucket=place.outputs["reports_bucket"], Key="top.json")
    first = json.load(report["Body"])["top10words"][0]["word"]
    ran = "one target, no error" if results == [None] else f"targets answered {results}"
    repaired = "the missing word" if first == word else first
    return f"{ran}; {repaired} is first"


@check(
    OPTIONS,
    "A file in the inbox is counted once, plain or gzip, and tagged",
    "plain: counted, ×3; gzip: counted, ×3; the file's own tags stay",
)
def the_inbox_counts_files(place: Place) -> str:
    mark = uuid.uuid4().hex
    kinds: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress}
    for kind, packed in kinds.items():
        text = f"\ufeff{kind}{mark} {kind.upper()}{mark}\n{kind}{mark}"
        upload(place, f"{mark} {kind}+ü", packed(text.encode()), Tagging="owner=me")
    seen = []
    for kind in kinds:
        outcome = tags(place, f"{mark} {kind}+ü")
        counted = words(place).get(f"{kind}{mark}")
        seen.append(f"{kind}: {outcome.get('wordtally')}, ×{counted}")
        if outcome.get("owner") != "me":
            seen.append(f"tags of {kind}: {sorted(outcome)}")
    return "; ".join([*seen, "the file's own tags stay"])


@check(
    OPTIONS,
    "A file that is not text is refused and tagged with the reason",
    "not_utf8, no_words, damaged_gzip; nothing is counted",
)
def the_inbox_refuses_files_that_are_not_text(place: Place) -> str:
    word = f"refused{uuid.uuid4().hex}"
    files = {
        "latin": f"{word} ".encode() + b"caf\xe9",
        "marks": "!!! …".encode(),
        "cut.gz": gzip.compress(f"{word} text".encode())[:-9],
    }
    for name, body in files.items():
        upload(place, f"{word} {name}", body)
    outcomes = [tags(place, f"{word} {name}").get("wordtally", "no tag") for name in files]
    counted = "something" if word in words(place) else "nothing"
    return f"{', '.join(outcomes)}; {counted} is counted"


@check(
    OPTIONS,
    "With Prefer: respond-async, a text is counted within seconds, and once per key",
    "202 respond-async, 202 respond-async; ×2",
)
def a_text_is_counted_later(place: Place) -> str:
    word = f"later{uuid.uuid4().hex}"
    headers = {"prefer": "respond-async", "idempotency-key": word}
    answers = [place.post(f"{word} {word}", **headers) for _ in range(2)]
    seen = place.eventually(lambda: words(place).get(word), bool)
    statuses = ", ".join(
        f"{answer.status_code} {answer.headers.get('preference-applied')}" for answer in answers
    )
    return f"{statuses}; ×{seen}"


@check(
    OPTIONS,
    "A producer's records are counted once; a malformed one is set aside, without its content",
    "×3; set aside: invalid_json, without content",
)
def the_stream_counts_records(place: Place) -> str:
    word = f"produced{uuid.uuid4().hex}"
    texts = [json.dumps({"parameter": word}), json.dumps({"parameter": f"{word} {word}"})]
    answer = place.client("kinesis").put_records(
        StreamName=place.outputs["stream_name"],
        Records=[
            {"Data": data.encode(), "PartitionKey": "any"} for data in ["\n".join(texts), word]
        ],
    )
    sequence = answer["Records"][1]["SequenceNumber"]
    place.eventually(lambda: words(place).get(word), bool)
    message = failure(place, lambda body: sequence in body)
    content = "with content" if word in message else "without content"
    reason = json.loads(message or "{}").get("reason", "nothing")
    return f"×{words(place).get(word)}; set aside: {reason}, {content}"


@check(CHANGES, "Without enable_page, there is no page", NO_PAGE)
def there_is_no_page_without_enable_page(place: Place) -> str:
    """The next apply restores the page."""
    place.apply(refresh=False, enable_page=False)
    return place.eventually(lambda: without_the_page(place), lambda seen: seen == NO_PAGE)


@check(CHANGES, "Answers out of 100 from a canary with a share of 0.25", Between(10, 40))
def a_canary_gets_its_share(place: Place) -> int:
    source = place.terraform.directory / "app/wordtally/errors.py"
    code = source.read_text()
    source.write_text(code.replace("Send a JSON body", CANARY))
    place.apply(refresh=False, live_version=place.outputs["function_version"], canary_share=0.25)
    return place.eventually(lambda: canary_answers(place), lambda seen: 10 <= seen <= 40)


check(CHANGES, "A plan during the canary has no changes", "no changes")(no_changes)


@check(CHANGES, "Answers out of 100 from the new version after its promotion", "100")
def a_canary_is_promoted(place: Place) -> int:
    place.apply(refresh=False)
    return place.eventually(lambda: canary_answers(place), lambda seen: seen == 100)


@check(CHANGES, "Answers out of 100 from the new version after a rollback", "0")
def a_rollback_takes_it_back(place: Place) -> int:
    place.apply(refresh=False, live_version=str(int(place.outputs["function_version"]) - 1))
    return place.eventually(lambda: canary_answers(place), lambda seen: seen == 0)


@check(ACCOUNT_ONLY, "The API writes its access log, without keys", "lines, no key")
def the_api_writes_its_access_log(place: Account) -> str:
    group = place.outputs["access_log_group"]
    lines = place.eventually(lambda: place.log_group(group), bool)
    return f"{'lines' if lines else 'no line'}, {'a' if place.key in str(lines) else 'no'} key"


@check(ACCOUNT_ONLY, "X-Ray receives the function's traces", "traces")
def xray_receives_traces(place: Account) -> str:
    return "traces" if place.eventually(lambda: traces(place), bool) else "no trace"


@check(
    ACCOUNT_ONLY,
    "Milliseconds that an instance takes to initialise, according to X-Ray",
    Figure("below 1000"),
)
def an_instance_starts(place: Account) -> str:
    documents = [
        json.loads(segment["Document"]) for trace in traces(place) for segment in trace["Segments"]
    ]
    starts = [
        round((part["end_time"] - part["start_time"]) * 1000)
        for document in documents
        for part in document.get("subsegments", [])
        if part["name"] in ("Init", "Initialization")
    ]
    return ", ".join(map(str, sorted(starts))) or "no cold start in the five slowest traces"


@check(ACCOUNT_ONLY, "Seconds until a revoked key is refused", Between(0, 120))
def a_revoked_key_is_forgotten(place: Account) -> int:
    """The authorizer's answers are cached for 30 seconds. The same apply lowers the throttle."""
    previous = place.variables["api_key_previous"]
    place.apply(api_key_previous="", throttle_rate_per_second=1, throttle_burst=1)
    started = time.monotonic()
    status = place.eventually(lambda: place.post("a", previous).status_code, lambda s: s == 403)
    if status != 403:
        raise RuntimeError(f"requests with the revoked key still get {status}")
    return round(time.monotonic() - started)


@check(
    ACCOUNT_ONLY,
    "Answers with 429 to 50 concurrent requests, at a limit of 1 per second",
    Between(1, 50),
)
def the_api_throttles(place: Account) -> int:
    def burst() -> int:
        with ThreadPoolExecutor(25) as pool:
            answers = list(pool.map(lambda _: place.post("a").status_code, range(50)))
        return answers.count(429)

    return place.eventually(burst, bool)


def without_the_page(place: Place) -> str:
    """NO_PAGE, unless some part of the page is deployed."""
    url = place.post("a text").json()["url"]
    page = requests.get(place.uri, timeout=30).status_code
    link = place.link().status_code
    own = reads(origin_of(place.uri), url)
    return f"GET / {page}; GET /report {link}; the page's origin: {own}"


def reads(origin: str, url: str) -> str:
    """Return "allowed" if a browser lets a page of that origin read the response from `url`."""
    answer = requests.get(url, headers={"Origin": origin}, timeout=30)
    answer.raise_for_status()
    allowed = answer.headers.get("access-control-allow-origin", "not allowed")
    return "allowed" if allowed == origin else allowed


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def words(place: Place) -> dict[str, int]:
    """Every word in the table with its total."""
    pages = (
        place.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=place.outputs["words_table"], ConsistentRead=True)
    )
    return {item["word"]["S"]: int(item["times"]["N"]) for page in pages for item in page["Items"]}


def upload(place: Place, key: str, body: bytes, **options: str) -> None:
    """Upload a file to the inbox."""
    bucket = place.outputs["inbox_bucket"]
    place.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **options)


def tags(place: Place, key: str) -> dict[str, str]:
    """Wait for the outcome's tag on a file in the inbox, and return all of its tags."""

    def found() -> dict[str, str]:
        answer = place.client("s3").get_object_tagging(
            Bucket=place.outputs["inbox_bucket"], Key=key
        )
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    return place.eventually(found, lambda seen: "wordtally" in seen)


def failure(place: Place, wanted: Callable[[str], bool]) -> str:
    """Delete the wanted message from the failure queue and return its body, or "" if there is none."""
    queue = {"QueueUrl": place.outputs["failure_queue_url"]}
    sqs = place.client("sqs")

    def found() -> str:
        for message in sqs.receive_message(
            **queue, MaxNumberOfMessages=10, VisibilityTimeout=1
        ).get("Messages", []):
            if wanted(message["Body"]):
                sqs.delete_message(**queue, ReceiptHandle=message["ReceiptHandle"])
                return str(message["Body"])
        return ""

    return place.eventually(found, bool)


def signed(signer: Any, url: str, age_seconds: int) -> AWSRequest:
    """A GET request for `url`, signed `age_seconds` ago."""
    request = AWSRequest("GET", url)
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_seconds)
    with mock.patch("botocore.auth.get_current_datetime", return_value=then):
        signer.add_auth(request)
    return request


def canary_answers(place: Place) -> int:
    """The number of answers from the second version, out of 100."""
    headers = {"x-api-key": place.key}
    answers = [requests.post(place.uri, headers=headers, timeout=30) for _ in range(100)]
    return sum("Canary" in answer.text for answer in answers)


def traces(place: Account) -> list[Any]:
    """The slowest traces of the function in the last hour, at most five."""
    xray, now = place.client("xray"), datetime.datetime.now(datetime.UTC)
    pages = xray.get_paginator("get_trace_summaries").paginate(
        StartTime=now - datetime.timedelta(hours=1), EndTime=now
    )
    found = [
        (summary.get("ResponseTime", 0), summary["Id"])
        for page in pages
        for summary in page["TraceSummaries"]
        if any(place.name in service.get("Name", "") for service in summary["ServiceIds"])
    ]
    if not found:
        return []
    slowest = [trace_id for _, trace_id in sorted(found, reverse=True)[:5]]
    answer: list[Any] = xray.batch_get_traces(TraceIds=slowest)["Traces"]
    return answer


def left(place: Place, name: str) -> dict[str, list[str]]:
    """All resources in the cloud with `name` in their names, by kind. Kinds without any are left out, as
    are kinds that the operator may not list."""
    found: dict[str, list[str]] = {}
    for kind, service, operation, field, name_field in [
        ("alarms", "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        ("anomalies", "ce", "get_anomaly_monitors", "AnomalyMonitors", "MonitorName"),
        ("apis", "apigatewayv2", "get_apis", "Items", "Name"),
        ("buckets", "s3", "list_buckets", "Buckets", "Name"),
        ("budgets", "budgets", "describe_budgets", "Budgets", "BudgetName"),
        ("dashboards", "cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        ("domains", "apigatewayv2", "get_domain_names", "Items", "DomainName"),
        ("functions", "lambda", "list_functions", "Functions", "FunctionName"),
        ("logs", "logs", "describe_log_groups", "logGroups", "logGroupName"),
        ("queues", "sqs", "list_queues", "QueueUrls", ""),
        ("roles", "iam", "list_roles", "Roles", "RoleName"),
        ("rules", "events", "list_rules", "Rules", "Name"),
        ("streams", "kinesis", "list_streams", "StreamNames", ""),
        ("tables", "dynamodb", "list_tables", "TableNames", ""),
        ("topics", "sns", "list_topics", "Topics", "TopicArn"),
    ]:
        client: Any = place.client(service)
        arguments = {"AccountId": place.account} if service == "budgets" else {}
        try:
            if client.can_paginate(operation):
                pages = list(client.get_paginator(operation).paginate(**arguments))
            else:
                pages = [getattr(client, operation)(**arguments)]
        except ClientError as error:
            if "AccessDenied" not in error.response["Error"]["Code"]:
                raise
            continue
        entries = [entry for page in pages for entry in page.get(field, [])]
        names = [entry[name_field] if name_field else entry for entry in entries]
        if matching := [each for each in names if name in each]:
            found[kind] = matching
    return found


def brief(text: str) -> str:
    """Shorten a text to one line. Of Terraform's output, keep the errors or, without errors, the changes."""
    text = text.replace("│", " ")
    if "Error: " in text:
        text = text[text.index("Error: ") :]
    elif changes := re.findall(r"^  # (.*)$", text, flags=re.M):
        text = "; ".join(changes)
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]} …"
