"""Where the event log is kept."""

from collections.abc import Mapping

from pydantic import Field, field_validator

from recsys.config.frozen import Frozen
from recsys.errors import ConfigError

_SCHEMES = ("postgresql://", "postgres://")


def check_url(name: str, url: str) -> str:
    """Return the address of a PostgreSQL database, or ""; raise ValueError, which never repeats it, for another."""
    if url and not url.startswith(_SCHEMES):
        raise ValueError(f'{name} must be "postgresql://user@host:5432/database", or empty for SQLite')
    return url


class EventLogConfig(Frozen):
    """The log of events and exposures: SQLite below the storage root, or PostgreSQL where several machines write."""

    url: str = Field(default="", description="postgresql://... of the log; empty: SQLite below the storage root")
    url_env: str = Field(
        default="RECSYS_EVENTLOG_URL",
        min_length=1,
        description="environment variable that holds the URL instead, as it may hold a password",
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        return check_url("url", url)

    def address(self, environment: Mapping[str, str]) -> str:
        """Return the URL, where the environment names one that one; "" for SQLite below the storage root.

        Raises ConfigError, which never repeats it, where the environment's is no PostgreSQL URL.
        """
        try:
            return check_url(self.url_env, environment.get(self.url_env, "")) or self.url
        except ValueError as error:
            raise ConfigError(str(error)) from None
