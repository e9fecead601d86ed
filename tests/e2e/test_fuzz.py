"""Every operation of the contract under generated requests: no server error, and no answer that the contract does not describe."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from sqlalchemy import delete

from api import app as factory
from api.config import Settings
from api.models import Node
from observability import plan
from observability.checks.contract import operations
from observability.outputs import contract

EXAMPLES, SCENARIOS, STEPS = 270, 80, 10
AT_LEAST = 3_000
HEADERS: dict[str, str] = {}  # the key, when it is made: unlimited
PLAN = plan.from_files()
OPERATIONS = operations(contract())
CASES = [
    pytest.param(http, mode, id=f"{http}-{mode.value}")
    for http, operation in sorted(OPERATIONS.items(), key=lambda item: item[0])
    for mode in GenerationMode
    # a path of free text alone cannot be wrong, and neither can nothing
    if mode is GenerationMode.POSITIVE or "requestBody" in operation or any(p["in"] == "query" for p in operation.get("parameters", []))
]
SENT: Counter[int] = Counter()  # status → how many

# JSON Schema cannot say that a time must lie between 2000 and tomorrow; so valid requests are made with such times.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC).isoformat()),
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> schemathesis.BaseSchema:
    """The contract of an app on a migrated, seeded database, in process: what it raises is seen here."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    generous = dict.fromkeys(PLAN.rate_limits, "1000000/second")  # some checks leave the key out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory.plan, "from_files", lambda: replace(PLAN, rate_limits=generous))
        app = factory.create_app(Settings(env="test", database_url=f"sqlite:///{folder}/fuzz.db", log_level="ERROR", _env_file=None))
    assert app.test_cli_runner().invoke(args=["seed", "--migrate"]).exit_code == 0
    made = app.test_cli_runner().invoke(args=["keys", "create", "fuzz", "--scope", "admin", "--unlimited"])
    HEADERS["Authorization"] = f"Bearer {made.output.splitlines()[-1]}"
    app.after_request(lambda answer: SENT.update([answer.status_code]) or answer)
    found = schemathesis.openapi.from_wsgi("/openapi.json", app)
    found.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "404", "409"]  # ids of nodes are not in the contract
    return found


@pytest.mark.parametrize(("http", "mode"), CASES)
def test_no_request_breaks_the_contract(schema: schemathesis.BaseSchema, http: tuple[str, str], mode: GenerationMode) -> None:
    """Valid requests are taken, invalid ones refused, and each gets an answer that the contract describes, never a 5xx."""
    method, path = http

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def send(case: Case) -> None:
        case.call_and_validate(headers=HEADERS)

    send()


def test_no_sequence_of_requests_breaks_the_contract(schema: schemathesis.BaseSchema) -> None:
    """Nodes that were made are read, changed, written to and removed in any order, and used after they are gone."""
    machine = schema.as_state_machine()

    class Sequence(machine):
        def setup(self) -> None:
            """Every sequence finds the same: what may be drawn next follows from the answers."""
            super().setup()
            with schema.app.extensions["evara_database"].write() as session:
                session.execute(delete(Node.__table__))

        def get_call_kwargs(self, _: Case) -> dict[str, object]:
            return {"headers": HEADERS}

    Sequence.run(
        settings=settings(
            max_examples=SCENARIOS,
            stateful_step_count=STEPS,
            phases=[Phase.generate],  # its strategies learn from answers, so what was drawn cannot be replayed
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    )


def test_enough_was_tried() -> None:
    """The numbers are those of the answers, not of the intentions; every kind of answer was among them."""
    assert SENT.total() >= AT_LEAST, SENT
    assert {200, 201, 204, 400, 404, 409, 422} <= SENT.keys()
    assert not [status for status in SENT if status >= 500]
