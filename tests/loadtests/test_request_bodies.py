"""Bodies of load requests, in the content type that the contract has."""

import json
from typing import Any

import pytest

from loadtests.request_bodies import encode_body


@pytest.mark.parametrize(
    ("content_type", "arguments"),
    [
        ("application/json", {"json": {"name": "A"}}),
        ("application/x-www-form-urlencoded", {"data": {"name": "A"}}),
        (
            "application/merge-patch+json",
            {
                "data": json.dumps({"name": "A"}),
                "headers": {"Content-Type": "application/merge-patch+json"},
            },
        ),
    ],
)
def test_body_has_the_content_type_of_the_contract(
    content_type: str, arguments: dict[str, Any]
) -> None:
    """A service refuses bodies of another type with 415."""
    scenario = {"body": {"name": "A"}, "content_type": content_type, "vary": {}}
    assert encode_body(scenario) == arguments


def test_request_without_body_has_no_content_type() -> None:
    """GET sends nothing."""
    assert encode_body({"body": None, "content_type": None, "vary": {}}) == {"json": None}
