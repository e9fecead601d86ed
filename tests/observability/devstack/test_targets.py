"""The targets files of Prometheus."""

import yaml

from observability.devstack.layout import StackLayout
from observability.devstack.server_configs import write_server_configs
from observability.devstack.targets import announce_targets, withdraw_targets
from observability.spec.plan import Plan


def test_targets_are_announced_and_withdrawn(layout: StackLayout, plan: Plan) -> None:
    """The files are those that prometheus.yaml names, with this stack's ports."""
    write_server_configs(layout, plan)
    config = yaml.safe_load((layout.config / "prometheus.yaml").read_text(encoding="utf-8"))
    jobs = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    expected = {
        name for job in jobs for config in job["file_sd_configs"] for name in config["files"]
    }
    folder = layout.config / "targets"
    assert list(folder.iterdir()) == []
    announce_targets(layout)
    assert {f"targets/{path.name}" for path in folder.iterdir()} == expected
    assert yaml.safe_load((folder / "api.yaml").read_text(encoding="utf-8")) == [
        {"targets": ["127.0.0.1:39101"]}
    ]
    withdraw_targets(layout)
    assert list(folder.iterdir()) == []
