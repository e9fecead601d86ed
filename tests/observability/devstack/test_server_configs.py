"""The configuration files of the native servers."""

from pathlib import Path

import yaml

from observability.devstack.layout import StackLayout
from observability.devstack.server_configs import prometheus_config, write_server_configs
from observability.spec.plan import Plan


def test_a_drill_changes_only_the_clock_of_prometheus(plan: Plan, fast: Plan) -> None:
    """A drill scrapes faster; everything else in the file is what ships."""
    shipped = yaml.safe_load(prometheus_config(plan))
    quick = yaml.safe_load(prometheus_config(fast))
    assert shipped.pop("global") == {
        "scrape_interval": "5s",
        "scrape_timeout": "4s",
        "evaluation_interval": "5s",
    }
    assert quick.pop("global") == {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    assert shipped == quick


def test_alertmanager_notifies_the_console_of_this_stack(
    layout: StackLayout, plan: Plan, tmp_path: Path
) -> None:
    """The inbox is that of this stack; integrations join when their secret is there."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "slack_url").write_text("x", encoding="utf-8")
    write_server_configs(layout, plan, secrets)
    text = (layout.config / "alertmanager.yaml").read_text(encoding="utf-8")
    assert "http://127.0.0.1:38080/api/inbox" in text
    assert f"{secrets}/slack_url" in text
    assert "pagerduty" not in text
