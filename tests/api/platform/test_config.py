"""Settings: reading them, and refusing invalid and unsafe values."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from api.platform.config import SECRETS, PlatformSettings


def test_faults_are_refused_in_production(tmp_path: Path) -> None:
    """The message names both settings."""
    with pytest.raises(
        ValidationError, match=r"EVARA_FAULTS_FILE is set, but EVARA_ENV is production"
    ):
        PlatformSettings(_env_file=None, env="production", faults_file=tmp_path / "fault.json")
    assert PlatformSettings(_env_file=None, env="production").faults_file is None


@pytest.mark.parametrize(
    "values",
    [{"env": "staging"}, {"request_deadline": 0}, {"max_body_bytes": 5}, {"log_level": "LOUD"}],
)
def test_setting_out_of_range_stops_the_start(values: dict[str, object]) -> None:
    """Values outside their range stop the start."""
    with pytest.raises(ValidationError):
        PlatformSettings(_env_file=None, **values)


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_every_level_of_logging_is_accepted(level: str) -> None:
    """CRITICAL, too, which earlier releases accepted."""
    assert PlatformSettings(_env_file=None, log_level=level).log_level == level


@pytest.mark.parametrize("text", ["1_000", "٣", "nan", "inf", "1e999", "0x10", "1 000", "1,5"])
@pytest.mark.parametrize("name", ["job_deadline", "job_attempts"])
def test_only_decimal_ascii_is_a_number(name: str, text: str) -> None:
    """Whatever else Python reads as a number stops the start."""
    with pytest.raises(ValidationError, match=name):
        PlatformSettings(_env_file=None, **{name: text})
    assert getattr(PlatformSettings(_env_file=None, **{name: " 20 "}), name) == 20


def test_secrets_are_not_printed() -> None:
    """Neither repr() nor an error shows them."""
    assert "hush" not in repr(PlatformSettings(_env_file=None, development_key="hush"))
    with pytest.raises(ValidationError) as error:
        PlatformSettings(
            _env_file=None,
            env="production",
            development_key="hush",
            database_url="postgresql://evara:shh@db/evara",
        )
    assert "hush" not in str(error.value)
    assert "shh" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"development_key": "evara-development-key"},
            "EVARA_DEVELOPMENT_KEY is set, but EVARA_ENV is production; unset it",
        ),
        ({"development_key": "another"}, "EVARA_DEVELOPMENT_KEY is set"),
        (
            {"database_url": "postgresql://evara:change-me@db/evara"},
            "EVARA_DATABASE_URL has a secret from an example, .*; fix: openssl",
        ),
        (
            {"limiter_url": "redis://:changeme@cache"},
            "EVARA_LIMITER_URL has a secret from an example",
        ),
    ],
)
def test_production_refuses_known_secrets(settings: dict[str, str], message: str) -> None:
    """The development key and secrets of examples are accepted in other environments."""
    with pytest.raises(ValidationError, match=message):
        PlatformSettings(_env_file=None, env="production", **settings)
    for env in ("development", "test"):
        assert PlatformSettings(_env_file=None, env=env, **settings)


def test_production_refuses_the_debugger(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLASK_DEBUG is refused; 0 means off."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with pytest.raises(ValidationError, match="FLASK_DEBUG is on, but EVARA_ENV is production"):
        PlatformSettings(_env_file=None, env="production")
    assert PlatformSettings(_env_file=None, env="development")
    monkeypatch.setenv("FLASK_DEBUG", "0")
    assert PlatformSettings(
        _env_file=None, env="production", database_url="postgresql://evara:Nq7wX2@db/evara"
    )


def test_production_reports_every_problem(tmp_path: Path) -> None:
    """All problems are reported at once."""
    with pytest.raises(ValidationError) as error:
        PlatformSettings(
            _env_file=None,
            env="production",
            faults_file=tmp_path,
            development_key="x",
            database_url="postgresql://a:secret@db/x",
        )
    assert all(
        f"EVARA_{name}" in str(error.value)
        for name in ("FAULTS_FILE", "DEVELOPMENT_KEY", "DATABASE_URL")
    )


def test_invalid_value_is_not_printed() -> None:
    """The error names the setting without its value, which may be a secret."""
    with pytest.raises(ValidationError) as error:
        PlatformSettings(_env_file=None, sentry_dsn=["hunter2"])
    assert "sentry_dsn" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty file sets nothing; an environment variable has precedence over a file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, text in {
        "evara_database_url": "postgresql://a:b@db/x\n",
        "evara_sentry_dsn": "",
        "prober_key": "of another program",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    settings = PlatformSettings(_env_file=None, _secrets_dir=folder)
    assert (settings.database_url, bool(settings.sentry_dsn)) == ("postgresql://a:b@db/x", False)
    monkeypatch.setenv("EVARA_DATABASE_URL", "sqlite:///mine.db")
    assert PlatformSettings(_env_file=None, _secrets_dir=folder).database_url == "sqlite:///mine.db"
    assert PlatformSettings.model_config["secrets_dir"] == SECRETS
    assert (SECRETS is not None) == Path("/run/secrets").is_dir()
