"""Mistakes in catalogue.yaml and policy.yaml: an edit, and the key, message and fix expected."""

LIST = "    http: GET /api/v1/orders\n"
SYNC_STEPS = """    next_steps:
      - Is the process running? `make status`, then `make logs P=sync`.
      - Does thingspeak-availability burn too? Then wait for upstream; nothing is lost.
"""
RANGE_STEPS = """    next_steps:
      - Is the database answering? See database-availability.
      - Are callers asking for very long ranges? Compare durations by query in the log.
"""
WRONG_IN_CATALOGUE = {
    "unknown key": (
        ("    rate_limit: 600/minute", "    rate_limits: 600/minute"),
        ("routes.parcels.ingest.rate_limits", "unknown key", "did you mean rate_limit?"),
    ),
    "unknown key deep in a list": (
        ("latency: [{threshold: 1s, objective: 99}]", "latency: [{treshold: 1s, objective: 99}]"),
        ("dependencies.database.latency.0.treshold", "unknown key", "did you mean threshold?"),
    ),
    "unknown key at the top": (
        ("period: 30d", "period: 30d\nzebra: 1"),
        ("zebra", "unknown key", "remove it; known here: backup, defaults, dependencies"),
    ),
    "a period of another length": (
        ("period: 30d", "period: 14d"),
        ("period", "'14d' is no period", "write one of 7d, 28d, 30d, 90d"),
    ),
    "a period in another unit": (
        ("period: 30d", "period: 720h"),
        ("period", "'720h' is no period", "write one of 7d, 28d, 30d, 90d"),
    ),
    "objective of 100": (
        ("    availability: 99.95", "    availability: 100"),
        (
            "routes.parcels.ingest.availability",
            "100 is no objective",
            "write per cent from 50 to 99.999",
        ),
    ),
    "objective of 40": (
        ("    availability: 99.95", "    availability: 40"),
        (
            "routes.parcels.ingest.availability",
            "40 is no objective",
            "write per cent from 50 to 99.999",
        ),
    ),
    "objective in words": (
        ("    availability: 99.95", "    availability: high"),
        ("routes.parcels.ingest.availability", "'high' is no objective", "write per cent"),
    ),
    "threshold without unit": (
        ("{threshold: 200ms, objective: 95}", "{threshold: 200, objective: 95}"),
        (
            "defaults.latency.0.threshold",
            "200 is no duration",
            "write a whole number and one of ms, s, m, h, d",
        ),
    ),
    "threshold of nothing": (
        ("{threshold: 200ms, objective: 95}", "{threshold: 0s, objective: 95}"),
        ("defaults.latency.0.threshold", "'0s' is no time at all", "write a duration above zero"),
    ),
    "the same threshold twice": (
        ("{threshold: 1s, objective: 99.5}", "{threshold: 200ms, objective: 99.5}"),
        ("defaults.latency", "0.2s stands there twice", "remove one of the two"),
    ),
    "the same threshold in two spellings": (
        (
            "latency: [{threshold: 1s, objective: 99}]",
            "latency: [{threshold: 1s, objective: 99}, {threshold: 1000ms, objective: 90}]",
        ),
        ("dependencies.database.latency", "1s stands there twice", "remove one of the two"),
    ),
    "no route at all by that form": (
        (LIST, "    http: orders\n"),
        ("routes.orders.list.http", "'orders' is no route", "write METHOD /path/"),
    ),
    **{
        f"no parameter: {path}": (
            (LIST, f"    http: GET {path}\n"),
            ("routes.orders.list.http", "has braces that are no parameter", "write {name} of"),
        )
        for path in ("/a/{b-c}", "/a/{}", "/a/{b", "/a/b}", "/a/{{b}}", "/a/{b.c}")
    },
    "two parameters of one name": (
        (LIST, "    http: GET /a/{id}/b/{id}\n"),
        ("routes.orders.list.http", "has two parameters of one name", "rename one"),
    ),
    "one address under two routes": (
        (LIST, "    http: POST /api/v1/orders\n"),
        (
            "routes.orders.create",
            "POST /api/v1/orders is declared by orders.list already",
            "keep one of the two",
        ),
    ),
    "one address watched and exempt": (
        ("  docs.page: GET /docs\n", "  docs.page: GET /api/v1/orders\n"),
        (
            "exempt.docs.page",
            "GET /api/v1/orders is declared by orders.list already",
            "keep one of the two",
        ),
    ),
    "one id watched and exempt": (
        ("  docs.page: GET /docs\n", "  orders.list: GET /docs\n"),
        ("exempt.orders.list", "is declared under routes, too", "rename or remove one of the two"),
    ),
    "a job with the id of a route": (
        ("  thingspeak.sync:\n", "  orders.list:\n"),
        ("jobs.orders.list", "is declared under routes, too", "rename or remove one of the two"),
    ),
    "an id that is no id": (
        ("  docs.page: GET /docs\n", "  DocsPage: GET /docs\n"),
        (
            "exempt.DocsPage",
            "'DocsPage' does not fit into labels and URLs",
            "write docs-page: lower-case",
        ),
    ),
    "an id with a slash": (
        ("  docs.page: GET /docs\n", "  docs/page: GET /docs\n"),
        ("exempt.docs/page", "'docs/page' does not fit", "write docs-page: lower-case"),
    ),
    "an id with two dots": (
        ("  docs.page: GET /docs\n", "  docs..page: GET /docs\n"),
        ("exempt.docs..page", "'docs..page' does not fit", "write docs.page: lower-case"),
    ),
    "an id that is a number": (
        ("  docs.page: GET /docs\n", "  404: GET /docs\n"),
        ("exempt.404", "does not fit into labels", "write orders.get-by-id: lower-case"),
    ),
    "an id that no file can have": (
        ("  docs.page: GET /docs\n", f"  docs.{'x' * 100}: GET /docs\n"),
        (f"exempt.docs.{'x' * 100}", "is too long", "shorten it to 63 characters"),
    ),
    "the label of unknown routes": (
        ("  docs.page: GET /docs\n", "  unmatched: GET /docs\n"),
        ("exempt.unmatched", "or that of requests to unknown routes", "choose another name"),
    ),
    "a dependency with the id of a route": (
        ("dependencies:\n", "dependencies:\n  orders.list: {availability: 99, next_steps: [A]}\n"),
        ("dependencies.orders.list", "is declared under routes, too", "rename or remove one"),
    ),
    "a service with an underscore": (
        ("service: evara-api", "service: evara_api"),
        ("service", "'evara_api' does not fit", "write it like evara-api"),
    ),
    "no next steps": (
        (SYNC_STEPS, ""),
        (
            "jobs.thingspeak.sync.next_steps",
            "is missing",
            "add `next_steps:` (docs/catalogue.md says what it holds)",
        ),
    ),
    "empty next steps": (
        (RANGE_STEPS, "    next_steps: []\n"),
        ("routes.parcels.range.next_steps", "is empty", "write at least one entry"),
    ),
    "empty summary": (
        ("    drill: stop-api\n    summary: ", '    drill: stop-api\n    summary: "" # '),
        (
            "watch.TargetDown.summary",
            "String should have at least 1 character",
            "correct the value",
        ),
    ),
    "unknown owner": (
        ("    owner: upstream", "    owner: nobody"),
        (
            "dependencies.thingspeak.owner",
            "owner 'nobody' is not declared",
            "use one of: platform, upstream",
        ),
    ),
    "unknown owner of everything": (
        ("owner: platform\nperiod", "owner: nobody\nperiod"),
        ("owner", "owner 'nobody' is not declared", "use one of: platform, upstream"),
    ),
    "unknown severity": (
        (
            "    severity: ticket\n    drill: route-exception",
            "    severity: loud\n    drill: route-exception",
        ),
        (
            "watch.UnhandledException.severity",
            "severity 'loud' is not declared",
            "use one of: heartbeat, page, ticket",
        ),
    ),
    "unknown dependency": (
        (LIST + "    needs: [database]", LIST + "    needs: [databse]"),
        (
            "routes.orders.list.needs",
            "dependency 'databse' is not declared",
            "use one of: database, thingspeak",
        ),
    ),
    "a blank next step": (
        ("      - Is it running? `docker compose ps postgres`.\n", '      - " "\n'),
        ("watch.DatabaseDown.next_steps.0", "String should have at least 1 character", "correct"),
    ),
    "a text with an unprintable character": (
        ('"All routes that need the database fail."', '"All \\e routes"'),
        (
            "watch.DatabaseDown.impact",
            "has the unprintable character '\\x1b'",
            "remove it",
        ),
    ),
    "a title that Grafana would take for a variable": (
        ("title: Orders sent,", "title: Orders in $,"),
        (
            "metrics.evara_orders_sent.panel.title",
            "'Orders in $' looks like a variable to Grafana",
            "write it without $ and [[",
        ),
    ),
    "an alert about an unknown dependency": (
        ("    dependency: database\n", "    dependency: databse\n"),
        (
            "watch.DatabaseDown.dependency",
            "dependency 'databse' is not declared",
            "use one of: database, thingspeak",
        ),
    ),
    "an alert about a dependency that pages nobody": (
        ("page\n    dependency: database\n", "ticket\n    dependency: database\n"),
        (
            "watch.DatabaseDown.dependency",
            "is database, but the severity is ticket",
            "write `severity: page`, or remove `dependency`",
        ),
    ),
    "an alert that would wait for its own end": (
        ("    dependency: database\n", "    dependency: database\n    needs: [database]\n"),
        (
            "watch.DatabaseDown.needs",
            "contains database, the dependency that the alert is about",
            "remove database",
        ),
    ),
    "a job that needs an unknown dependency": (
        ("    needs: [database, thingspeak]\n", "    needs: [databse]\n"),
        (
            "jobs.thingspeak.sync.needs",
            "dependency 'databse' is not declared",
            "use one of: database, thingspeak",
        ),
    ),
    "log lines that need an unknown dependency": (
        ("ticket\n    needs: [database]\n", "ticket\n    needs: [redis]\n"),
        ("logs.LogErrorBurst.needs", "dependency 'redis' is not declared", "use one of: database"),
    ),
    "unknown route to probe": (
        ("routes: [orders.list, health.ready]", "routes: [orders.lst, health.ready]"),
        ("probe.routes", "route 'orders.lst' is not declared", "use one of: docs.file"),
    ),
    "a POST to probe": (
        ("routes: [orders.list, health.ready]", "routes: [orders.create, health.ready]"),
        (
            "probe.routes",
            "orders.create is not a GET; a probe must change nothing",
            "probe another route",
        ),
    ),
    "a route probed twice": (
        ("routes: [orders.list, health.ready]", "routes: [orders.list, orders.list]"),
        ("probe.routes", "orders.list stands there twice", "remove one of the two"),
    ),
    "a promise above its dependency's": (
        ("    availability: 99.99\n", "    availability: 99.9\n"),
        (
            "routes.parcels.ingest.availability",
            "99.95 cannot be met: the route needs database",
            "write at most 99.9 here, or raise",
        ),
    ),
    "a rate limit that is none": (
        ("    rate_limit: 600/minute", "    rate_limit: 0/minute"),
        (
            "routes.parcels.ingest.rate_limit",
            "'0/minute' does not fit",
            "write it like 120/minute",
        ),
    ),
    "a watch with a name that is taken": (
        ("  TargetDown:\n", "  Watchdog:\n"),
        ("watch.Watchdog", "is the name of an alert that every service has", "choose another name"),
    ),
    "a watch with the name of the test alert": (
        ("  TargetDown:\n", "  PipelineTest:\n"),
        (
            "watch.PipelineTest",
            "is the name of an alert that every service has",
            "choose another name",
        ),
    ),
    "a log alert with an unknown severity": (
        ("    more_than: 20\n    severity: ticket", "    more_than: 20\n    severity: loud"),
        (
            "logs.LogErrorBurst.severity",
            "severity 'loud' is not declared",
            "use one of: heartbeat, page, ticket",
        ),
    ),
    "a log alert of nobody": (
        ("    more_than: 20\n", "    more_than: 20\n    owner: nobody\n"),
        (
            "logs.LogErrorBurst.owner",
            "owner 'nobody' is not declared",
            "use one of: platform, upstream",
        ),
    ),
    "a log alert with a name that is taken": (
        ("  LogErrorBurst:\n", "  Watchdog:\n"),
        ("logs.Watchdog", "is the name of an alert that every service has", "choose another name"),
    ),
    "a log alert with the name of a symptom": (
        ("  LogErrorBurst:\n", "  TargetDown:\n"),
        ("logs.TargetDown", "is declared under watch, too", "rename or remove one of the two"),
    ),
    "a log alert for too many lines and for none": (
        ("    more_than: 20\n", "    more_than: 20\n    silence: true\n"),
        (
            "logs.LogErrorBurst",
            "needs exactly one of more_than and silence",
            "add the one that is meant",
        ),
    ),
    "a log alert for nothing": (
        ("    more_than: 20\n", ""),
        (
            "logs.LogErrorBurst",
            "needs exactly one of more_than and silence",
            "add the one that is meant",
        ),
    ),
    "a log alert for a level that no line has": (
        (
            "    level: error\n    over: 5m\n    more_than: 20\n",
            "    level: fatal\n    over: 5m\n    more_than: 20\n",
        ),
        (
            "logs.LogErrorBurst.level",
            "'fatal' is not known here",
            "write 'debug', 'info', 'warning' or 'error'",
        ),
    ),
    "a log alert for a program that no stack has": (
        (
            "    program: api\n    level: error\n    over",
            "    program: apii\n    level: error\n    over",
        ),
        ("logs.LogErrorBurst.program", "program 'apii' is not declared", "use one of: alert"),
    ),
    "a log alert for an empty text": (
        ("    text: evara.access\n", '    text: ""\n'),
        ("logs.LogSilence.text", "'' is no part of a log line", "write printable characters"),
    ),
    "a log alert for blanks": (
        ("    text: evara.access\n", '    text: "  "\n'),
        ("logs.LogSilence.text", "'  ' is no part of a log line", "write printable characters"),
    ),
    "a log alert for two lines": (
        ("    text: evara.access\n", '    text: "one\\ntwo"\n'),
        ("logs.LogSilence.text", "'one\\ntwo' is no part of a log line", "write printable"),
    ),
    "a log alert for a control character": (
        ("    text: evara.access\n", '    text: "a\\e[0m"\n'),
        ("logs.LogSilence.text", "'a\\x1b[0m' is no part of a log line", "write printable"),
    ),
    "a log alert for a number": (
        ("    text: evara.access\n", "    text: 500\n"),
        ("logs.LogSilence.text", "500 is no part of a log line", "write printable characters"),
    ),
    "a log alert over no time": (
        ("    over: 10m\n", "    over: 0s\n"),
        ("logs.LogSilence.over", "'0s' is no time at all", "write a duration above zero"),
    ),
    "a helper program that is no module": (
        ("command: python -m loadtests.thingspeak_stub", "command: loadtests/thingspeak_stub.py"),
        (
            "stack.programs.replay.command",
            "'loadtests/thingspeak_stub.py --port {port}' does not fit",
            "write it like python -m tools.stub",
        ),
    ),
    "an unknown word in braces": (
        ('{EVARA_STUB_URL: "http://{host}:{port}"}', '{EVARA_STUB_URL: "http://{address}"}'),
        (
            "stack.programs.replay.environment.EVARA_STUB_URL",
            "'http://{address}' has other words in braces",
            "use {host} and {port}",
        ),
    ),
    "a port that needs root": (
        ("      port: 8091\n", "      port: 80\n"),
        ("stack.programs.replay.port", "greater than or equal to 1024", "correct the value"),
    ),
    "an unknown key of a helper program": (
        ("      replaces: thingspeak\n", "      replace: thingspeak\n"),
        ("stack.programs.replay.replace", "unknown key", "did you mean replaces?"),
    ),
    "a helper program with a name that is taken": (
        ("    replay:\n", "    worker:\n"),
        (
            "stack.programs.worker",
            "is a program that every stack has",
            "choose another name",
        ),
    ),
    "a helper program in the place of nothing": (
        ("      replaces: thingspeak\n", "      replaces: thingspeck\n"),
        (
            "stack.programs.replay.replaces",
            "dependency 'thingspeck' is not declared",
            "use one of: database, thingspeak",
        ),
    ),
    "a wait for an unknown job": (
        ("  wait_for: [thingspeak.sync]", "  wait_for: [thingspeak.snyc]"),
        (
            "stack.wait_for",
            "job 'thingspeak.snyc' is not declared",
            "use one of: thingspeak.sync",
        ),
    ),
    "a drill of an unknown route": (
        ("  route: parcels.latest\n", "  route: parcels.last\n"),
        ("drill.route", "route 'parcels.last' is not declared", "use one of: orders.create"),
    ),
    "a drill of a route that changes something": (
        ("  route: parcels.latest\n", "  route: parcels.ingest\n"),
        ("drill.route", "parcels.ingest is not a GET", "choose another route"),
    ),
    "a drill without a parameter of its route": (
        ("  parameters: {order_id: main-branch}\n", "  parameters: {id: main-branch}\n"),
        (
            "drill.parameters",
            "are not those of GET /api/v1/orders/{order_id}/latest",
            "give a value to each of: order_id",
        ),
    ),
    "a log field that is no name": (
        ("log_fields: [order]", "log_fields: [order id]"),
        ("log_fields.0", "'order id' does not fit", "write it like orders_open"),
    ),
    "a backup without a column": (
        ("{table: orders, column: created}", "{table: orders, colum: created}"),
        ("backup.newest order.colum", "unknown key", "did you mean column?"),
    ),
    "a backup of a table that is no name": (
        ("{table: orders, column: created}", "{table: 'orders;', column: created}"),
        ("backup.newest order.table", "'orders;' does not fit", "write it like orders_open"),
    ),
    "a backup that is called something else": (
        ("  newest order: {table", "  newest 'order': {table"),
        ("backup.newest 'order'", "does not fit", "write it like newest order"),
    ),
    "the size of a table that is no name": (
        ("table_sizes: [orders]", "table_sizes: [Orders]"),
        ("table_sizes.0", "'Orders' does not fit", "write it like orders_open"),
    ),
    "a metric of another type": (
        ("    type: gauge\n", "    type: histogram\n"),
        ("metrics.evara_orders_open.type", "'histogram' is not known here", "write 'counter'"),
    ),
    "a metric whose name is no name": (
        ("  evara_orders_open:\n", "  evara-orders:\n"),
        ("metrics.evara-orders", "'evara-orders' does not fit", "write it like orders_open"),
    ),
    "a metric without a panel": (
        (
            "    panel: {board: jobs, title: Orders, text",
            "    panels: {board: jobs, title: Orders, text",
        ),
        ("metrics.evara_orders_open.panels", "unknown key", "did you mean panel?"),
    ),
    "a metric of the platform": (
        ("  evara_orders_open:\n", "  evara_job_runs:\n"),
        ("metrics.evara_job_runs", "is a metric of the platform", "choose another name"),
    ),
    "a panel of an unknown board": (
        ("panel: {board: jobs, title: Orders,", "panel: {board: job, title: Orders,"),
        (
            "metrics.evara_orders_open.panel.board",
            "board 'job' is not declared",
            "use one of: dependencies, jobs",
        ),
    ),
    "a panel of an unknown unit": (
        ("unit: number,", "unit: orders,"),
        (
            "metrics.evara_orders_open.panel.unit",
            "'orders' is not known here",
            "write 'seconds', 'ratio'",
        ),
    ),
    "a key written twice": (
        ("period: 30d", "period: 30d\nperiod: 7d"),
        (
            "period",
            "the key 'period' is written twice, first in line",
            "rename or remove one of the two",
        ),
    ),
    "a symptom that people do not see": (
        (
            "    severity: ticket\n    drill: route-exception",
            "    severity: heartbeat\n    drill: route-exception",
        ),
        (
            "watch.UnhandledException.severity",
            "is heartbeat, the severity of Watchdog, which people do not see",
            "write another severity",
        ),
    ),
    "log lines that people do not see": (
        ("    more_than: 20\n    severity: ticket", "    more_than: 20\n    severity: heartbeat"),
        ("logs.LogErrorBurst.severity", "is heartbeat, the severity of Watchdog", "write another"),
    ),
    "a list instead of a mapping": (
        (
            "  docs.page: GET /docs\n  docs.file: GET /docs/{filename}\n",
            "  docs.page: [GET, /docs]\n  docs.file: GET /docs/{filename}\n",
        ),
        ("exempt.docs.page", "is no mapping", "write `key: value` lines"),
    ),
}
WRONG_IN_POLICY = {
    "a tier for an SLI that does not exist": (
        ("slis: [probe]", "slis: [probes]"),
        (
            "tiers.P0.slis.0",
            "'probes' is not known here",
            "write 'availability', 'latency', 'freshness', 'probe', 'ratio' or 'gauge'",
        ),
    ),
    "a tier without windows": (
        ("windows: [{over: 1m, ratio: 0.55}]", "windows: []"),
        ("tiers.P0.windows", "is empty", "write at least one entry"),
    ),
    "a window with two thresholds": (
        ("{over: 1m, ratio: 0.55}", "{over: 1m, ratio: 0.55, factor: 3}"),
        (
            "tiers.P0.windows.0",
            "needs exactly one of factor and ratio",
            "add the one that is meant",
        ),
    ),
    "a window longer than the period": (
        ("{over: 3d, factor: 1}", "{over: 31d, factor: 1}"),
        (
            "tiers.T5",
            "looks back 31d, which is longer than the period of 30d",
            "shorten the window",
        ),
    ),
    "factors for no period": (
        ("factors_for: 30d", "factors_for: 0d"),
        ("factors_for", "'0d' is no time at all", "write a duration above zero"),
    ),
    "a severity that is not declared": (
        ("  T4: {severity: ticket", "  T4: {severity: tikcet"),
        (
            "tiers.T4.severity",
            "severity 'tikcet' is not declared",
            "use one of: heartbeat, page, ticket",
        ),
    ),
    "a tier that people do not see": (
        ("  T4: {severity: ticket", "  T4: {severity: heartbeat"),
        ("tiers.T4.severity", "is heartbeat, the severity of Watchdog", "write another severity"),
    ),
    "a guard that people do not see": (
        ("  SLOUnmeasured:\n    severity: ticket", "  SLOUnmeasured:\n    severity: heartbeat"),
        ("guards.SLOUnmeasured.severity", "is heartbeat, the severity of Watchdog", "write an"),
    ),
    "a watchdog with the severity of pages": (
        ("    severity: heartbeat\n", "    severity: page\n"),
        ("tiers.T1.severity", "is page, the severity of Watchdog", "write another severity; Wa"),
    ),
    "an owner that is a regular expression": (
        ("  upstream: {only", '  "~.*": {only'),
        ("owners.~.*", "'~.*' does not fit", "write it like platform"),
    ),
    "an owner that Prometheus would expand": (
        ("  upstream: {only", '  "{{ x }}": {only'),
        ("owners.{{ x }}", "'{{ x }}' does not fit", "write it like platform"),
    ),
    "a severity that is a regular expression": (
        ("  ticket: {integrations", '  "~.*": {integrations'),
        ("severities.~.*", "'~.*' does not fit", "write it like page"),
    ),
    "a severity with a hyphen, as between owner and severity": (
        ("  ticket: {integrations", "  low-ticket: {integrations"),
        ("severities.low-ticket", "'low-ticket' does not fit", "write it like page"),
    ),
    "a tier that is a path": (
        ("  T4: {severity", "  ../T4: {severity"),
        ("tiers.../T4", "'../T4' does not fit", "write it like T1"),
    ),
    "an integration that is not declared": (
        (
            "{integrations: [inbox, mail, slack], group_wait",
            "{integrations: [inbox, irc], group_wait",
        ),
        (
            "severities.ticket.integrations",
            "integration 'irc' is not declared",
            "use one of: deadman, inbox, mail, pagerduty, slack",
        ),
    ),
    "an owner whom some severity would never reach": (
        ("upstream: {only: [inbox, mail, slack, deadman]}", "upstream: {only: [slack, deadman]}"),
        (
            "owners.upstream.only",
            "severity page has no integration left, so its alerts would not be delivered",
            "add one of: inbox, mail",
        ),
    ),
    "an integration of two kinds": (
        (
            "{pagerduty_key_file: pagerduty_key}",
            "{pagerduty_key_file: pagerduty_key, webhook: http://x}",
        ),
        (
            "integrations.pagerduty",
            "needs exactly one of webhook, webhook_url_file, email, slack_url_file",
            "add the one that is meant",
        ),
    ),
    "a guard that nothing builds": (
        ("  Watchdog:\n", "  Watchdgo:\n"),
        (
            "guards.Watchdgo",
            "guard 'Watchdgo' is not declared",
            "use one of: RuleEvaluationFailing, SLOCountMismatch",
        ),
    ),
    "a drill slower than the clock": (
        ("speed: 60", "speed: 0"),
        ("drill.speed", "greater than or equal to 1", "correct the value"),
    ),
}
