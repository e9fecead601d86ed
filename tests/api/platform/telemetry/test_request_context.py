"""Identity: taken from the caller where it is well-formed, and passed on."""

import pytest

from api.platform.telemetry import request_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("flags", "sampled"), [("01", True), ("03", True), ("00", False), ("02", False)]
)
def test_a_caller_decides(flags: str, sampled: bool) -> None:
    """Trace, parent and the flag are the caller's, the span is ours, and both headers go on to whom
    we call."""
    with request_context.activate(
        {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "X-Request-ID": "abcd1234"}
    ) as mine:
        assert (mine.trace_id, mine.parent_id, mine.sampled) == (TRACE, SPAN, sampled)
        assert mine.span_id != SPAN
        assert request_context.outbound_headers() == {
            "X-Request-ID": "abcd1234",
            "traceparent": f"00-{TRACE}-{mine.span_id}-0{int(sampled)}",
        }
    assert request_context.outbound_headers() == request_context.usage_fields() == {}


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        "x" * 9999,
    ],
)
def test_what_is_ill_formed_is_not_continued(given: str) -> None:
    """A new trace begins, unsampled, whatever was sent."""
    with request_context.activate({"traceparent": given}) as mine:
        assert mine.trace_id != TRACE
        assert (mine.parent_id, mine.sampled) == (None, False)


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, {False}), (1.0, {True})])
def test_all_and_none(ratio: float, expected: set[bool]) -> None:
    """0 samples nothing and 1 everything that nobody has decided about."""
    request_context.set_sample_ratio(ratio)
    found = set()
    for _ in range(500):
        with request_context.activate({}) as mine:
            found.add(mine.sampled)
    request_context.set_sample_ratio(0.0)
    assert found == expected
