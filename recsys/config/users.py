"""Where users' states are kept."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from recsys.config.frozen import Frozen

_STORES = ("redis", "rediss", "postgresql")


class UsersConfig(Frozen):
    """Where users' states are kept, and how much of each."""

    url: str = Field(
        default="",
        description="redis://host:port/db or postgresql://host/database; empty: a file below the storage root",
    )
    url_env: str = Field(
        default="RECSYS_USERS_URL", min_length=1, description="variable that replaces url, for one with a password"
    )
    max_meetings: int = Field(default=2000, ge=1, description="a user's most recent meetings that are kept whole")
    max_met: int = Field(default=10_000, ge=0, description="items of older meetings that are remembered as met")

    @field_validator("url")
    @classmethod
    def _known_and_without_secret(cls, url: str) -> str:
        if not url:
            return url
        check_store(url)
        if urlsplit(url).password or "password=" in urlsplit(url).query:
            raise ValueError("url must hold no password; put the whole address in the variable that url_env names")
        return url


def check_store(url: str) -> str:
    """Return the kind of server an address names; raise ValueError, without repeating the address, for none."""
    kind = url.split("://", 1)[0] if "://" in url else ""
    if kind not in _STORES:
        raise ValueError(f"the address of users' states must begin with {', '.join(f'{each}://' for each in _STORES)}")
    return kind
