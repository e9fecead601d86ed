"""The committed OpenAPI document is complete: clients are generated from it."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from api.platform.http import openapi_document
from observability.spec import loading
from observability.spec.schema.fields import Http
from tests.contract_validation import assert_documented, assert_examples_match

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = json.loads((ROOT / "api" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS = list(openapi_document.operations(DOCUMENT))


@pytest.mark.parametrize(
    ("http", "operation"), OPERATIONS, ids=[str(http) for http, _ in OPERATIONS]
)
def test_operation_is_documented(http: Http, operation: dict[str, Any]) -> None:
    """Its id is the one in the catalogue, and nothing that clients need is missing."""
    assert_documented(loading.load_plan(), http, operation)


def test_operation_ids_are_unique() -> None:
    """Generators of clients name functions after them."""
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))


def test_document_describes_the_tags_that_operations_use() -> None:
    """Each blueprint has a description."""
    used = {tag for _, operation in OPERATIONS for tag in operation["tags"]}
    assert {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]} == used


def test_document_has_a_relative_server() -> None:
    """Clients use the host that they fetched the document from."""
    assert DOCUMENT["servers"] == [{"url": "/"}]


def test_examples_of_responses_match_their_schemas(app: Flask) -> None:
    """The schemas allow no undeclared properties here."""
    assert_examples_match(app)
