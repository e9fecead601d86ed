"""Settings of the API: the platform's, and those of its nouns."""

from functools import lru_cache

from pydantic import Field

from api.platform.config import PlatformSettings


class Settings(PlatformSettings):
    """All settings of the API."""

    thingspeak_url: str = "https://api.thingspeak.com"
    thingspeak_timeout: float = Field(default=10.0, gt=0)  # seconds
    sync_every: float = Field(default=60.0, gt=0)  # seconds
    # seconds for which a live answer is fresh
    live_ttl: float = Field(default=15.0, gt=0)


@lru_cache
def from_environment() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
