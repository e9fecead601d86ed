"""Tests of the client of Loki."""

import pytest

from observability.lib.http import Unreachable
from observability.lib.loki import Loki

STREAMS = [
    {"stream": {"level": "info"}, "values": [["1", "a"], ["2", "b"]]},
    {"stream": {"level": "error"}, "values": [["3", "c"]]},
]


def test_an_unreachable_server_names_the_fix(nobody: str) -> None:
    """The message says how to start the stack."""
    with pytest.raises(Unreachable, match=r"Loki at .* make up"):
        Loki(nobody).query_lines("{}", 0)


def test_lines_come_with_their_labels_from_whole_seconds_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Streams are flattened; the start is rounded down, so that no line after it is missed."""
    requests: list[dict[str, str]] = []

    def get(_: Loki, resource: str, **params: str) -> dict[str, object]:
        requests.append(params | {"resource": resource})
        return {"result": STREAMS}

    monkeypatch.setattr(Loki, "_get", get)
    assert Loki("http://x").query_lines('{service="s"}', 1.9) == [
        ({"level": "info"}, "a"),
        ({"level": "info"}, "b"),
        ({"level": "error"}, "c"),
    ]
    [request] = requests
    assert (request["resource"], request["start"]) == ("query_range", "1000000000")
