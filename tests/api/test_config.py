"""Settings: from EVARA_* variables, and refused when they contradict each other."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from api.config import Settings, from_environment


def test_faults_are_refused_in_production(tmp_path: Path) -> None:
    """A drill's fault file and production together do not start, and the message names both settings."""
    with pytest.raises(ValidationError, match=r"EVARA_FAULTS_FILE is set, but EVARA_ENV is production"):
        Settings(_env_file=None, env="production", faults_file=tmp_path / "fault.json")
    assert Settings(_env_file=None, env="production").faults_file is None


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables with our prefix set what they name, and others nothing."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"EVARA_ENV": "production", "EVARA_THINGSPEAK_TIMEOUT": "2.5", "DATABASE_URL": "x", "EVARA_UNKNOWN": "x"}.items():
        monkeypatch.setenv(name, value)
    from_environment.cache_clear()
    found = from_environment()
    from_environment.cache_clear()
    assert (found.env, found.thingspeak_timeout, found.database_url) == ("production", 2.5, "sqlite:///evara.db")


@pytest.mark.parametrize("wrong", [{"env": "staging"}, {"thingspeak_timeout": 0}, {"max_body_bytes": 5}, {"log_level": "LOUD"}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    """Values outside their range stop the start instead of surprising later."""
    with pytest.raises(ValidationError):
        Settings(_env_file=None, **wrong)


def test_the_load_token_is_not_printed() -> None:
    """A dump of the settings does not show the token."""
    assert "hush" not in repr(Settings(_env_file=None, load_token="hush"))


def test_a_wrong_setting_is_not_printed() -> None:
    """The error that stops a start names what is wrong, without its value, which may be a secret."""
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None, sentry_dsn=["hunter2"])
    assert "sentry_dsn" in str(caught.value)
    assert "hunter2" not in str(caught.value)
