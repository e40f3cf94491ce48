"""Opens the store that a deployment's settings name."""

import os
from collections.abc import Mapping
from typing import Final

from recsys.config import Config, check_store
from recsys.data import load_key
from recsys.errors import ConfigError
from recsys.storage import is_local, join, local_path
from recsys.users.backend import Backend
from recsys.users.postgresql import PostgresqlBackend
from recsys.users.redis_server import RedisBackend
from recsys.users.sqlite import SqliteBackend
from recsys.users.state import Limits
from recsys.users.store import BackedUserStore, UserStore
from recsys.users.weighing import Weighing

_FILE: Final = "users/users.sqlite"


def open_users(config: Config, durations: Mapping[str, float] | None = None) -> UserStore:
    """Return the store of a deployment's users; nothing is connected to before the first call.

    `durations` are seconds by item, needed where `features.watch_ratio_weight` is above 0. Raises ConfigError where the
    address names no store, a package is missing, or the pseudonym key cannot be had.
    """
    limits = Limits(config.users.max_meetings, config.users.max_met)
    return BackedUserStore(backend_of(config), Weighing(config.features, durations), load_key(config).key_id, limits)


def backend_of(config: Config) -> Backend:
    """Return where the states of a deployment lie."""
    url = os.environ.get(config.users.url_env) or config.users.url
    if not url:
        if not is_local(config.storage):
            raise ConfigError(
                f"users' states are kept in a file below the storage root, and {config.storage} is no folder of this "
                f"machine; set users.url or {config.users.url_env} to a Redis or PostgreSQL server"
            )
        return SqliteBackend(local_path(join(config.storage, _FILE)))
    try:
        kind = check_store(url)
    except ValueError as error:
        raise ConfigError(f"{config.users.url_env}: {error}") from None
    if kind == "postgresql":
        return PostgresqlBackend(url, config.name)
    return RedisBackend(url, f"recsys:{config.name}")
