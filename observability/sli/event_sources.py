"""The series that count events, by the source of the events."""

from observability.spec import names
from observability.spec.plan import DEPENDENCY_SOURCE, GATEWAY_SOURCE, HTTP_SOURCE

COUNTED = {  # source of events → series of their count, label of the subject, labels of the bad ones and of good ones
    HTTP_SOURCE: (
        names.HTTP_DURATION + "_count",
        names.ROUTE,
        {names.STATUS: "5xx"},
        {names.STATUS: "~2xx|3xx"},
    ),
    DEPENDENCY_SOURCE: (
        names.DEPENDENCY_DURATION + "_count",
        names.DEPENDENCY,
        {names.OUTCOME: "error"},
        {names.OUTCOME: "ok"},
    ),
    GATEWAY_SOURCE: (
        names.GATEWAY_RESPONSES,
        names.PROXY,
        {names.CODE: "5xx"},
        {names.CODE: "~2xx|3xx"},
    ),
}
