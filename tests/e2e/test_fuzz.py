"""Every operation of the contract under generated requests: no server error, and no answer that the contract does not describe."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from api.app import create_app
from api.config import Settings
from observability.checks.contract import operations
from observability.outputs import contract

EXAMPLES = 100
HEADERS: dict[str, str] = {}  # the key, when it is made
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = operations(contract())
CASES = [
    pytest.param(http, mode, id=f"{http}-{mode.value}")
    for http, operation in sorted(OPERATIONS.items(), key=lambda item: item[0])
    for mode in GenerationMode
    # a path of free text alone cannot be wrong
    if mode is GenerationMode.POSITIVE or "requestBody" in operation or any(p["in"] == "query" for p in operation.get("parameters", []))
]


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> schemathesis.BaseSchema:
    """The contract of an app on a migrated, seeded database; an unlimited admin key opens everything."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    app = create_app(Settings(env="test", database_url=f"sqlite:///{folder}/fuzz.db", log_level="ERROR", _env_file=None))
    assert app.test_cli_runner().invoke(args=["seed", "--migrate"]).exit_code == 0
    result = app.test_cli_runner().invoke(args=["keys", "create", "fuzz", "--scope", "admin", "--unlimited"])
    HEADERS["Authorization"] = f"Bearer {result.output.splitlines()[-1]}"
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


@pytest.mark.parametrize(("http", "mode"), CASES)
def test_no_request_breaks_the_contract(schema: schemathesis.BaseSchema, http: tuple[str, str], mode: GenerationMode) -> None:
    """Valid and invalid requests alike get an answer that the contract describes, never a 5xx."""
    method, path = http

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def send(case: Case) -> None:
        case.call_and_validate(headers=HEADERS, checks=CHECKS)

    send()
