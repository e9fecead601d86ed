"""The logs board: every line that the processes wrote, by level, program and request."""

from observability.lib import scope
from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend
from observability.lib.panels import LOGS, Board, Kind, Panel, Query, Row, Unit, Variable
from observability.lib.promql import selector
from observability.lib.templates import fill
from observability.spec import board_slugs, names
from observability.spec.plan import Plan

# Shows a JSON line as a sentence with its most useful fields, and any other line as it is.
LINE_FORMAT = """
{{if .message}}{{.message}}
{{with .method}} {{.}}{{end}}
{{with .path}} {{.}}{{end}}
{{with .status}} {{.}}{{end}}
{{with .job}} {{.}}{{end}}
<<own_fields>>
{{with .exc_info}} {{.}}{{end}}
{{with .duration_ms}} in {{.}} ms{{end}}
{{else}}{{__line__}}{{end}}
""".replace("\n", "")
OWN_FIELD = "{{with .<<field>>}} {{.}}{{end}}"
SEARCH = """
<<streams>>
| <<request_id>>=~"$request.*"
|~ "(?i)$text"
| json
| drop __error__, __error_details__
| line_format `<<line_format>>`
""".strip().replace("\n", " ")
LEVELS = (*reversed(names.LOG_LEVELS), names.LOG_UNKNOWN)


def board(plan: Plan) -> Board:
    """Return the board of the log streams that the reader chooses."""
    chosen = {names.LOG_PROGRAM: "~$program", names.LOG_LEVEL: "~$level"}
    streams = selector("", **scope.own_labels(plan), **chosen)
    programs = (*names.LOG_PROGRAMS, *plan.stack.programs)
    volumes = (
        volume("Lines by level", streams, names.LOG_LEVEL),
        volume("Lines by program", streams, names.LOG_PROGRAM),
    )
    return Board(
        board_slugs.LOG,
        "Logs",
        "Log lines of all processes, by level, program and request",
        (Row("Volume", volumes), Row("Log lines", (search(plan, streams),))),
        (
            Variable("program", "Program", values=programs, multi=True),
            Variable("level", "Level", values=LEVELS, multi=True),
            Variable("request", "Request id"),
            Variable("text", "Text"),
        ),
    )


def volume(title: str, streams: str, label: str) -> Panel:
    """Return the rate of lines by the value of a label."""
    query = Query(f"sum by ({label}) (rate({streams}[$__auto]))", legend(label))
    return lines(title, "Lines per second.", Unit.PER_SECOND, query, stacked=True, source=LOGS)


def search(plan: Plan, streams: str) -> Panel:
    """Return the lines that match the reader's request id and text."""
    request_id = names.LOG_IDS[0]
    own_fields = "".join(fill(OWN_FIELD, field=field) for field in plan.log_fields)
    line_format = fill(LINE_FORMAT, own_fields=own_fields)
    expr = fill(SEARCH, streams=streams, request_id=request_id, line_format=line_format)
    return Panel(
        "Lines",
        "Newest first; a line unfolds to its fields: request_id finds all lines of the same "
        "request, trace_id opens its trace.",
        Kind.LOGS,
        Unit.TEXT,
        (Query(expr, ""),),
        width=24,
        height=18,
        source=LOGS,
    )
