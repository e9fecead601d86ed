"""Ids and sampling: read from well-formed headers, and sent to other services."""

import pytest

from api.platform.telemetry import request_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("flags", "sampled"), [("01", True), ("03", True), ("00", False), ("02", False)]
)
def test_caller_decides_sampling(flags: str, sampled: bool) -> None:
    """Trace, parent and flag are the caller's, the span is new; outbound calls carry them."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "X-Request-ID": "abcd1234"}
    with request_context.activate(headers) as context:
        assert (context.trace_id, context.parent_id, context.sampled) == (TRACE, SPAN, sampled)
        assert context.span_id != SPAN
        assert request_context.outbound_headers() == {
            "X-Request-ID": "abcd1234",
            "traceparent": f"00-{TRACE}-{context.span_id}-0{int(sampled)}",
        }
    assert request_context.outbound_headers() == request_context.usage_fields() == {}


@pytest.mark.parametrize(
    "traceparent",
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
def test_malformed_traceparent_starts_a_new_trace(traceparent: str) -> None:
    """The new trace is not sampled."""
    with request_context.activate({"traceparent": traceparent}) as context:
        assert context.trace_id != TRACE
        assert (context.parent_id, context.sampled) == (None, False)


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, {False}), (1.0, {True})])
def test_ratios_0_and_1_sample_nothing_and_everything(ratio: float, expected: set[bool]) -> None:
    """They apply to requests whose caller has not decided."""
    request_context.set_sample_ratio(ratio)
    decisions = set()
    for _ in range(500):
        with request_context.activate({}) as context:
            decisions.add(context.sampled)
    request_context.set_sample_ratio(0.0)
    assert decisions == expected


def test_inner_context_restores_the_outer_one() -> None:
    """A job that delivers messages, each in its own context, keeps its ids."""
    with request_context.activate({}) as outer:
        with request_context.activate({}) as inner:
            assert request_context.current() is inner
        assert request_context.current() is outer
    assert request_context.current() is None
