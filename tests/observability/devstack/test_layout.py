"""Folders, ports and keys of a stack, native or compose."""

from pathlib import Path

import pytest

from observability.devstack import user_settings
from observability.devstack.layout import (
    PORTS,
    ROOT,
    StackLayout,
    secrets_folder,
    stack_ports,
)
from observability.spec import loading
from observability.spec.plan import Plan
from observability.spec.problems import Invalid


def test_ports_move_together(layout: StackLayout) -> None:
    """One offset moves the whole stack."""
    assert layout.url("api") == "http://127.0.0.1:38000"
    assert set(stack_ports().values()) <= {port - 30_000 for port in layout.ports.values()}


def test_two_settings_move_the_whole_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All paths and ports follow from its folder and its port offset."""
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    monkeypatch.setenv("EVARA_PORT_OFFSET", "100")
    layout = StackLayout.main()
    assert (layout.state, layout.ports["api"]) == (tmp_path.resolve(), 8100)
    assert {
        path.parent
        for path in (layout.database, layout.metrics, layout.logs, layout.config, layout.fault)
    } == {layout.state}


def test_dotenv_moves_the_whole_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment wins, an empty setting is none, and paths are relative to the checkout."""
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "EVARA_STACK_DIR=second\nEVARA_SERVERS_DIR=/servers\nEVARA_SECRETS_DIR=theirs\n"
        "EVARA_PORT_OFFSET=100\n",
        encoding="utf-8",
    )
    layout = StackLayout.main()
    assert (layout.state, layout.ports["api"]) == (ROOT / "second", 8100)
    assert (layout.servers, secrets_folder()) == (Path("/servers"), ROOT / "theirs")
    monkeypatch.setenv("EVARA_PORT_OFFSET", "200")
    assert StackLayout.main().ports["api"] == 8200
    monkeypatch.delenv("EVARA_PORT_OFFSET")
    dotenv.write_text("EVARA_STACK_DIR=\nEVARA_PORT_OFFSET=\n", encoding="utf-8")
    empty = StackLayout.main()
    assert (empty.state, empty.ports["api"]) == (ROOT / ".stack", 8000), "`make clean` removes it"


@pytest.mark.parametrize(("mode", "there"), [("", False), ("native", False), ("compose", True)])
def test_gateway_slos_exist_in_compose_only(layout: StackLayout, mode: str, there: bool) -> None:
    """The native stack has no gateway, so `slo`, `load` and the console do not show its SLO."""
    if mode:
        layout.remember_mode(mode)
    assert any(slo.name == "gateway-availability" for slo in layout.plan().slos) is there


@pytest.mark.parametrize("wrong", ["abc", "-1", "60000", "1.5", "٣", "1_0"])
def test_an_invalid_port_offset_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """The variable, its value and what it may be are named."""
    monkeypatch.setenv("EVARA_PORT_OFFSET", wrong)
    with pytest.raises(Invalid, match=f"(?s)EVARA_PORT_OFFSET: .{wrong}.*whole number"):
        StackLayout.main()


def test_containers_use_service_names(layout: StackLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses for people have this machine's name and ports."""
    monkeypatch.setenv("EVARA_INSIDE", "1")
    monkeypatch.setenv("EVARA_PORT_OFFSET", "100")
    inside = StackLayout.main()
    assert inside.url("prometheus") == "http://prometheus:9090"
    assert inside.address("prometheus") == "http://localhost:9190"
    assert inside.mode == "compose"
    assert layout.url("prometheus") == "http://127.0.0.1:39090"
    assert layout.address("prometheus") == "http://localhost:39090"


def test_keys_are_found_in_either_mode(layout: StackLayout, tmp_path: Path) -> None:
    """The native stack keeps them in its folder, the compose stack among its secrets."""
    assert layout.key("load") == ""
    layout.keys.mkdir(parents=True)
    (layout.keys / "load").write_text("native", encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "load_key").write_text("of containers\n", encoding="utf-8")
    assert layout.key("load") == "native"
    layout.remember_mode("compose")
    assert layout.key("load") == "of containers"


def test_an_invalid_catalogue_leaves_out_helper_programs(
    monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    """Commands that only stop or inspect a stack work while the catalogue is being edited."""

    def fail() -> Plan:
        raise Invalid([])

    monkeypatch.setattr(loading, "load_plan", lambda: plan)
    assert "replay" in stack_ports()
    monkeypatch.setattr(loading, "load_plan", fail)
    assert stack_ports() == PORTS
