"""The settings of the nouns."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from api.config import Settings, from_environment


def test_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only variables with our prefix count."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "EVARA_ENV": "production",
        "EVARA_THINGSPEAK_TIMEOUT": "2.5",
        "DATABASE_URL": "x",
        "EVARA_UNKNOWN": "x",
    }.items():
        monkeypatch.setenv(name, value)
    from_environment.cache_clear()
    settings = from_environment()
    from_environment.cache_clear()
    assert (settings.env, settings.thingspeak_timeout, settings.database_url) == (
        "production",
        2.5,
        "sqlite:///evara.db",
    )


@pytest.mark.parametrize("name", ["thingspeak_timeout", "sync_every", "live_ttl"])
def test_setting_out_of_range_stops_the_start(name: str) -> None:
    """Values outside their range stop the start."""
    with pytest.raises(ValidationError):
        Settings(_env_file=None, **{name: 0})
