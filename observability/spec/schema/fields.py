"""Types of the single values in both files: how each is read, and what is said of a wrong one."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from observability.spec import board_slugs, names
from observability.spec.names import BOARD_UID_LENGTH, board_uid
from observability.spec.quantities import Duration, parse_duration, parse_positive_duration
from observability.spec.selectors import parse_expression, parse_selector

PERIODS = ("7d", "28d", "30d", "90d")  # for which rules and factors are tested (ADR 44)
MIN_PERCENT = Decimal(50)  # below it an alert would fire while the objective is met
MAX_PERCENT = Decimal("99.999")  # 100 would leave no error budget
ALL_ROUTES = ("*",)  # no id looks like this
MAX_ID_LENGTH = 63  # of a job, in the column `task` of dead letters
LONGEST_SLUG = max(board_slugs.ALL, key=len)
MAX_SERVICE_LENGTH = BOARD_UID_LENGTH - len(board_uid("", LONGEST_SLUG))


class Http(NamedTuple):
    """A method and an OpenAPI path, as in `GET /api/v1/orders/{order_id}`."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        """Return the names of the parameters in the path."""
        return re.findall(r"{(\w+)}", self.path)


def parse_percent(value: Any) -> Decimal:
    """Return an objective in per cent, from 50 to 99.999; raise ValueError for anything else."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not MIN_PERCENT <= number <= MAX_PERCENT:
        raise ValueError(
            f"{value!r} is no objective; write per cent from {MIN_PERCENT} to {MAX_PERCENT} "
            "(100 would leave no error budget)"
        )
    return number


def parse_period(value: Any) -> Duration:
    """Return the Duration of one of PERIODS; raise ValueError for anything else."""
    if value not in PERIODS:
        raise ValueError(f"{value!r} is no period; write one of {', '.join(PERIODS)}")
    return parse_duration(value)


def parse_http(value: Any) -> Http:
    """Return the Http of `GET /path/{parameter}`; raise ValueError for anything else."""
    match = re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/[\w./{}-]*)", str(value))
    if not match:
        raise ValueError(
            f"{value!r} is no route; write METHOD /path/{{parameter}}, "
            "as in GET /api/v1/orders/{order_id}"
        )
    http = Http(match[1], match[2])
    if re.search("[{}]", re.sub(r"{\w+}", "", http.path)):
        raise ValueError(
            f"{value!r} has braces that are no parameter; write {{name}} of letters, digits and _"
        )
    if len(http.parameters) > len(set(http.parameters)):
        raise ValueError(f"{value!r} has two parameters of one name; rename one")
    return http


def parse_id(value: Any) -> str:
    """Return an id that labels, URLs, file names and regular expressions take as it is.

    Raise ValueError for anything else.
    """
    text = str(value)
    if len(text) > MAX_ID_LENGTH:
        raise ValueError(f"{text!r} is too long; shorten it to {MAX_ID_LENGTH} characters")
    if not re.fullmatch(r"[a-z][a-z0-9_]*([.-][a-z0-9_]+)*", text):
        words = "-".join(re.findall(r"\.|[A-Z]?[a-z0-9_]+|[A-Z]+", text))
        proposal = re.sub(r"-*\.[.-]*", ".", words).lower().lstrip("0123456789_-.").rstrip("-.")
        raise ValueError(
            f"{value!r} does not fit into labels and URLs; write {proposal or 'orders.get-by-id'}: "
            "lower-case letters, digits and _, separated by single dots or hyphens"
        )
    return text


def parse_text(value: Any) -> str:
    """Return text with single spaces between its words; raise ValueError for anything else.

    A line break would end a row of a table or a step of a list in some of the outputs.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text; put it in quotes")
    text = " ".join(value.split())
    if not text.isprintable():
        unprintable = next(letter for letter in text if not letter.isprintable())
        raise ValueError(f"has the unprintable character {unprintable!r}; remove it")
    return text


def parse_line_part(value: Any) -> str:
    """Return text that a log line can contain; raise ValueError for anything else."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(
            f"{value!r} is no part of a log line; write printable characters without line breaks"
        )
    return value


def parse_sample(value: Any) -> str:
    """Return the value of a test series: a number, or `now`; raise ValueError for others."""
    text = str(value)
    if text != "now" and not re.fullmatch(r"-?\d+(\.\d+)?", text):
        raise ValueError(f"{value!r} is no value; write a number, or now for the present time")
    return text


def parse_routes(value: Any) -> Any:
    """Return ALL_ROUTES for `all`, a list unchanged; raise ValueError for other texts."""
    if isinstance(value, str) and value != "all":
        raise ValueError(f"{value!r} is no list of routes; write all, or [{value}]")
    return ALL_ROUTES if isinstance(value, str) else value


def parse_title(value: Any) -> str:
    """Return text without `$` and `[[`, which Grafana takes for variables, even in titles."""
    text = parse_text(value)
    if "$" in text or "[[" in text:
        raise ValueError(f"{text!r} looks like a variable to Grafana; write it without $ and [[")
    return text


def matching(regex: str, example: str) -> BeforeValidator:
    """Return a validator for text that matches `regex`, whose message shows `example`."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(regex, value):
            raise ValueError(f"{value!r} does not fit; write it like {example}")
        return value

    return BeforeValidator(validate)


def parse_address_text(value: Any) -> str:
    """Return text with `{host}` and `{port}`; raise ValueError for other words in braces."""
    text = str(value)
    try:
        text.format(host="", port=0)
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"{text!r} has other words in braces; use {{host}} and {{port}}"
        ) from error
    return text


def limit_service(service: str) -> str:
    """Return the service; raise ValueError when the uid of a dashboard would be too long."""
    uid = board_uid(service, LONGEST_SLUG)
    if len(uid) > BOARD_UID_LENGTH:
        raise ValueError(
            f"{service!r} is too long: Grafana's uid {uid} would have {len(uid)} characters, "
            f"of which {BOARD_UID_LENGTH} are allowed; "
            f"shorten it to {MAX_SERVICE_LENGTH} characters, where a dot counts twice"
        )
    return service


Environment = Annotated[str, matching(r"[a-z0-9][a-z0-9-]*", "staging")]
# Rules sum by these or select them, so a catalogue may not.
RULE_LABELS = "job|instance|le|route|status|code|dependency|outcome|task|proxy"
TargetLabel = Annotated[
    str,
    matching(rf"(?!({RULE_LABELS})$)[a-zA-Z_]\w*", f"cluster; rules need {RULE_LABELS} themselves"),
]
ALERT_LABEL = "|".join((names.muted(r"\w*"), *names.ALERT_LABELS))
AlertLabel = Annotated[
    str,
    matching(
        rf"(?!__)(?!({ALERT_LABEL})$)[a-zA-Z_]\w*",
        f"team; rules and alerts have {', '.join(names.ALERT_LABELS)} themselves",
    ),
]
# What a metric of requests says by a label; the joined series has the others.
JOINED_LABELS = "|".join((names.ADDRESS, "le", *names.ALERT_LABELS))
SourceLabel = Annotated[
    str,
    matching(rf"(?!__)(?!({JOINED_LABELS})$)[a-zA-Z_]\w*", "handler; rules need some others"),
]
AnyLabel = Annotated[str, matching(r"(?!__)(?!le$)[a-zA-Z_]\w*", "namespace")]
SeriesName = Annotated[str, matching(r"[a-zA-Z_:][\w:]*", "http_requests_total")]
SpelledPath = Annotated[str, matching(r"\S+", "/orders/<int:order_id>")]
StatusCode = Annotated[str, matching(r"[1-5]\d\d", "503"), BeforeValidator(str)]
ExcludedCodes = tuple[StatusCode, ...]
AlertLabelValue = Annotated[str, matching(r"[\w./:@#-]+", "payments")]
# Both become parts of regular expressions.
ScrapeJob = Annotated[str, matching(r"[\w./:-]+", "shop-api")]
LabelValue = Annotated[str, matching(r"[\w./:-]*", "eu-west")]
Service = Annotated[
    str,
    matching(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)*", "evara-api"),
    AfterValidator(limit_service),
]
DurationField = Annotated[Duration, BeforeValidator(parse_duration)]
PositiveDuration = Annotated[Duration, BeforeValidator(parse_positive_duration)]
Percent = Annotated[Decimal, BeforeValidator(parse_percent)]
Period = Annotated[Duration, BeforeValidator(parse_period)]
HttpField = Annotated[Http, BeforeValidator(parse_http)]
RateLimit = Annotated[str, matching(r"[1-9]\d*/(second|minute|hour|day)", "120/minute")]
SubjectId = Annotated[str, BeforeValidator(parse_id)]  # of a route, dependency or job
SloName = Annotated[str, matching(r"[a-z][a-z0-9_]*([.-][a-z0-9_]+)*", "uploads-complete")]
Expression = Annotated[str, BeforeValidator(parse_expression)]
RouteIds = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(parse_routes)]
SampleValue = Annotated[str, BeforeValidator(parse_sample)]
Selector = Annotated[str, BeforeValidator(parse_selector)]
MetricName = Annotated[str, matching(r"[a-z][a-z0-9_]*", "orders_open")]
AlertName = Annotated[str, matching(r"[A-Z][A-Za-z0-9]*", "TargetDown")]
TestId = Annotated[
    str, matching(r"[\w/.-]+\.py::\w+(::\w+)?", "tests/e2e/test_stack.py::test_alert_fires")
]
AddressText = Annotated[str, BeforeValidator(parse_address_text)]
PythonCommand = Annotated[
    AddressText, matching(r"python -m \w.*", "python -m tools.stub --port {port}")
]
BackupText = Annotated[str, matching(r"[a-z][a-z ]*", "newest order")]
ProgramName = Annotated[str, matching(r"[a-z][a-z0-9-]*", "orders-stub")]
# Labels, in which Prometheus would expand `{{`; `~` would begin a regular expression. A receiver is
# `owner-severity`, so a severity has no hyphen.
OwnerName = Annotated[str, matching(r"[a-z][a-z0-9_-]*", "platform")]
SeverityName = Annotated[str, matching(r"[a-z][a-z0-9_]*", "page")]
TierName = Annotated[str, matching(r"[A-Za-z][A-Za-z0-9_-]*", "T1")]
# Prose, in which `this` is code; lib/escaping.py writes it in each output's language.
OptionalText = Annotated[str, BeforeValidator(parse_text)]
Text = Annotated[str, Field(min_length=1), BeforeValidator(parse_text)]
LinePart = Annotated[str, BeforeValidator(parse_line_part)]
Title = Annotated[str, Field(min_length=1), BeforeValidator(parse_title)]
NextSteps = Annotated[tuple[Text, ...], Field(min_length=1)]
