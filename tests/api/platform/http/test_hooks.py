"""The order of request hooks is that of the one list in hooks.py."""

from pathlib import Path

from flask import Flask

from api.platform import faults
from api.platform.http import auth, security_headers, unparsed
from api.platform.http.hooks import LAYERS
from api.platform.outbound import deadlines
from api.platform.telemetry import tracing
from tests.api.conftest import MakeApp


def own_hooks(registered: dict[str | None, list[object]]) -> list[object]:
    """Return the hooks that do not belong to flask-limiter, in the order of their registration."""
    return [hook for hook in registered[None] if "flask_limiter" not in module_of(hook)]


def module_of(hook: object) -> str:
    return str(getattr(hook, "func", hook).__module__)  # `func`: behind a functools.partial


def complete_app(make_app: MakeApp, folder: Path) -> Flask:
    """Return an app with every optional feature enabled."""
    return make_app(
        otlp_endpoint="http://127.0.0.1:9",
        cors_origins=("https://example.org",),
        trusted_hosts=("localhost",),
        faults_file=folder / "fault.json",
    )


def test_every_hook_is_in_the_list(make_app: MakeApp, tmp_path: Path) -> None:
    """With every optional feature enabled, the app's hooks are the list, in its order."""
    app = complete_app(make_app, tmp_path)
    assert own_hooks(app.before_request_funcs) == [step.before for step in LAYERS if step.before]
    assert own_hooks(app.after_request_funcs) == [step.after for step in LAYERS if step.after]
    assert own_hooks(app.teardown_request_funcs) == [
        step.teardown for step in LAYERS if step.teardown
    ]


def test_limit_is_counted_after_the_deadline_and_before_the_scope(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """flask-limiter registers its hook itself; it runs where the list has it."""
    hooks = complete_app(make_app, tmp_path).before_request_funcs[None]
    [limiter] = [hook for hook in hooks if "flask_limiter" in module_of(hook)]
    place = hooks.index(limiter)
    refusals = [unparsed.refuse, security_headers.refuse_unknown_host, auth.authorise]
    assert hooks[place - 1 : place + 4] == [deadlines.begin_deadline, limiter, *refusals]


def test_disabled_features_register_no_hook(make_app: MakeApp) -> None:
    """Without collector, CORS origins and drills none of their hooks is called."""
    hooks = make_app().before_request_funcs[None]
    for hook in (
        tracing.begin,
        security_headers.answer_preflight,
        faults.inject,
        security_headers.refuse_unknown_host,
    ):
        assert hook not in hooks
