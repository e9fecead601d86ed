"""Every operation of the contract under generated requests.

There is no server error and no response that the contract does not describe.
"""

import copy
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Response, current_app, request
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from sqlalchemy import delete

from api import app as factory
from api.config import Settings
from api.models import Node
from api.platform.state import app_state
from loadtests.thingspeak_stub import ThingSpeakStub
from observability.checks.contract import list_operations
from observability.generate.registry import read_contract
from observability.spec import loading
from tests.contract_validation import mismatch

EXAMPLES, SCENARIOS, STEPS = 270, 80, 10
AT_LEAST = 3_000
KEY = "fuzz-key"  # has no row: no sequence of requests can revoke it
HEADERS = {"Authorization": f"Bearer {KEY}"}
PLAN = loading.load_plan()
OPERATIONS = list_operations(read_contract())
CASES = [
    pytest.param(http, mode, id=f"{http}-{mode.value}")
    for http, operation in sorted(OPERATIONS.items(), key=lambda item: item[0])
    for mode in GenerationMode
    # a path of free text alone cannot be wrong, and neither can nothing
    if mode is GenerationMode.POSITIVE
    or "requestBody" in operation
    or any(p["in"] == "query" for p in operation.get("parameters", []))
]
NUMBERS = itertools.count(10_000)
QUOTE = '"'
RESPONSES: Counter[int] = Counter()  # status → number
MISMATCHES: list[str] = []  # responses that do not match the contract
ACCEPTED: Counter[str] = Counter()  # corrected field → accepted values

# JSON Schema cannot say that a time must lie between 2000 and tomorrow: generate such times.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1)).map(
        lambda moment: moment.replace(tzinfo=UTC).isoformat()
    ),
)


def count_response(answer: Response) -> Response:
    """Count a response, and whether it matches the contract."""
    RESPONSES[answer.status_code] += 1
    difference = mismatch(current_app, request.method, request.path, answer)
    if difference:
        MISMATCHES.append(difference)
    if answer.status_code in (200, 201):
        body = request.get_json(silent=True) or {}
        ACCEPTED.update(name for name in ("alarms", "expires_at") if body.get(name))
    return answer


def remove_security(document: dict[str, Any]) -> dict[str, Any]:
    """Return the contract without keys, which every request here has.

    tests/api/platform/http/test_auth.py covers requests without a key.
    """
    document = copy.deepcopy(document)
    for path_item in document["paths"].values():
        for method in path_item.keys() & {"get", "post", "patch", "delete"}:
            path_item[method].pop("security", None)
    return document


def correct_request(case: Case) -> None:
    """Correct in valid requests what JSON Schema cannot express.

    below < above, an expiry in the future, and a new key for each new request.
    """
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if key := (case.headers or {}).get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = f"{key.strip(QUOTE)[:250]}{next(NUMBERS)}"
    if not isinstance(case.body, dict):
        return
    for limits in case.body.get("alarms", {}).values():
        if len(limits) == 2:
            limits["below"], limits["above"] = sorted(limits.values())
        if limits.get("below") == limits.get("above"):
            del limits["above"]
    if end := case.body.get("expires_at"):
        case.body["expires_at"] = end.replace("20", "24", 1)  # the same day, four centuries later


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    """Yield the contract of an app in process, on a migrated and seeded database.

    ThingSpeak is the replay server. Exceptions of the app propagate to the test.
    """
    upstream = ThingSpeakStub(("127.0.0.1", 0))
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    folder: Path = tmp_path_factory.mktemp("fuzz")
    unlimited = dict.fromkeys(PLAN.rate_limits, "1000000/second")  # some checks leave the key out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory.loading, "load_plan", lambda: replace(PLAN, rate_limits=unlimited))
        urls = {
            "database_url": f"sqlite:///{folder}/fuzz.db",
            "thingspeak_url": f"http://127.0.0.1:{upstream.server_port}",
            "development_key": KEY,
        }
        app = factory.create_app(
            Settings(env="development", log_level="ERROR", _env_file=None, **urls)
        )
    assert app.test_cli_runner().invoke(args=["seed", "--migrate"]).exit_code == 0
    app.after_request(count_response)
    app.add_url_rule("/fuzz.json", view_func=lambda: remove_security(app_state(app).document))
    loaded = schemathesis.openapi.from_wsgi("/fuzz.json", app)
    loaded.config.checks.positive_data_acceptance.expected_statuses = [
        "2xx",
        "404",
        "409",
    ]  # ids of nodes are not in the contract
    loaded.config.checks.ensure_resource_availability.enabled = (
        False  # a new node without a channel has nothing live
    )
    yield loaded
    upstream.shutdown()


@pytest.mark.parametrize(("http", "mode"), CASES)
def test_every_request_matches_the_contract(
    schema: schemathesis.BaseSchema, http: tuple[str, str], mode: GenerationMode
) -> None:
    """Valid requests are accepted, invalid ones refused, with a documented response and no 5xx."""
    method, path = http

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def send_case(case: Case) -> None:
        """Send a generated request and validate its response."""
        correct_request(case)
        case.call_and_validate(headers=HEADERS)

    send_case()
    assert MISMATCHES == []


def test_every_sequence_of_requests_matches_the_contract(schema: schemathesis.BaseSchema) -> None:
    """Nodes are created, read, changed, written to and deleted in any order without a 5xx."""
    machine = schema.as_state_machine()

    class Sequence(machine):
        def setup(self) -> None:
            """Start every sequence without nodes, so that draws depend on responses alone."""
            super().setup()
            with app_state(schema.app).database.write() as session:
                session.execute(delete(Node.__table__))

        def before_call(self, case: Case) -> None:
            correct_request(case)

        def get_call_kwargs(self, _: Case) -> dict[str, object]:
            return {"headers": HEADERS}

    Sequence.run(
        settings=settings(
            max_examples=SCENARIOS,
            stateful_step_count=STEPS,
            phases=[
                Phase.generate
            ],  # its strategies learn from answers, so what was drawn cannot be replayed
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    )
    assert MISMATCHES == []


def test_enough_requests_were_sent() -> None:
    """The requests sent number at least AT_LEAST and met every kind of response."""
    assert RESPONSES.total() >= AT_LEAST, RESPONSES
    assert {200, 201, 204, 400, 404, 409, 422} <= RESPONSES.keys()
    assert not [status for status in RESPONSES if status >= 500]
    assert {"alarms", "expires_at"} <= ACCEPTED.keys()
