"""The images of the compose stack: pulls, builds, and what people see of them."""

from pathlib import Path

import pytest

from observability.devstack import images
from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.steps import StackError, Steps
from tests.observability.devstack.conftest import FakeDocker
from tests.observability.devstack.executables import executable

BUILD = """\
#!/bin/sh
for line in $(seq 1 600); do echo "line $line"; done
echo "the disk is full" >&2
exit 1
"""


def test_a_failed_build_shows_its_last_lines(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The whole output is in a private file that the message names."""
    executable(tmp_path / "bin" / "docker").write_text(BUILD, encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    log = layout.state / "compose" / "build.log"
    log.parent.mkdir(parents=True)
    with pytest.raises(StackError) as failure:
        images.run_logged(layout, "build")
    lines = log.read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[-1]) == (601, "the disk is full")
    assert log.stat().st_mode & 0o777 == 0o600
    assert str(failure.value).endswith(f"    the disk is full\n  fix: read {log}")
    assert "line 586\n" not in str(failure.value)


def test_missing_images_are_named(layout: StackLayout, docker: FakeDocker) -> None:
    """All of them, when one cannot be pulled, and the way to do without them."""
    build = {"context": str(ROOT), "dockerfile": "api/Dockerfile"}
    docker.config["services"] = {
        "api": {"image": "evara-api:dev", "build": build},
        "worker": {"image": "evara-api:dev"},
        "grafana": {"image": "grafana/grafana:12.4.11"},
    }
    docker.fails = lambda words: "pull" in words
    with pytest.raises(StackError) as failure:
        images.pull_images(layout, Steps(lambda _: None))
    names = r"grafana/grafana:12.4.11, python:3.14.8-slim"
    assert f"images are missing and cannot be pulled: {names} (because); fix:" in str(failure.value)
    assert str(failure.value).endswith("make up MODE=native")


def test_images_that_are_here_are_not_pulled(
    layout: StackLayout, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make up` then works without a network."""
    docker.config["services"] = {"grafana": {"image": "grafana/grafana:12.4.11"}}
    monkeypatch.setattr(images.docker, "image_id", lambda _: "sha256:1")
    images.pull_images(layout, Steps(lambda _: None))
    assert not docker.commands_with("pull")
