"""Open the log that a deployment is configured to have."""

import hashlib
import os
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from recsys.config import Config
from recsys.errors import ConfigError
from recsys.eventlog.protocol import EventLog
from recsys.eventlog.sql_log import SqlLog
from recsys.eventlog.sqlite import SqliteDatabase
from recsys.storage import is_local, join, local_path

_FILE: Final = "eventlog/events.sqlite"  # below the storage root
_SCHEMA: Final = "recsys_"
_LONGEST: Final = 63  # bytes of a name in PostgreSQL


def open_log(config: Config, key_id: str, clock: Callable[[], datetime] | None = None) -> EventLog:
    """Return the event log of a deployment; `key_id` names the key its pseudonyms are made with.

    Without a URL it is an SQLite file below the storage root; in PostgreSQL each deployment has a schema of its own.
    Nothing is opened before the first call, so `last()` tells at once whether the log can be used. Raises ConfigError
    for a remote storage root without a URL, and where psycopg is missing.
    """
    url = config.eventlog.address(os.environ)
    if url:
        from recsys.eventlog.postgresql import PostgresqlDatabase

        return SqlLog(PostgresqlDatabase(url, schema_of(config.name)), key_id, clock)
    if not is_local(config.storage):
        raise ConfigError(
            "a storage root on a remote file system cannot hold the event log; set eventlog.url, or "
            f"{config.eventlog.url_env}, to a PostgreSQL database"
        )
    return SqlLog(SqliteDatabase(local_path(join(config.storage, _FILE))), key_id, clock)


def has_log(config: Config) -> bool:
    """Tell whether a deployment has an event log: a URL that is set, or the SQLite file; nothing is opened or made."""
    if config.eventlog.address(os.environ):
        return True
    return is_local(config.storage) and local_path(join(config.storage, _FILE)).exists()


def schema_of(deployment: str) -> str:
    """Return the schema of a deployment: its name where that is plain, else a readable part and a hash of it.

    >>> schema_of("demo"), schema_of("Shop/EU")
    ('recsys_demo', 'recsys_shop_eu_bd8d1d06')
    """
    plain = re.sub("[^a-z0-9_]", "_", deployment.lower())
    if plain == deployment and len(_SCHEMA + plain) <= _LONGEST:
        return _SCHEMA + plain
    digest = hashlib.sha256(deployment.encode()).hexdigest()[:8]
    return f"{(_SCHEMA + plain)[: _LONGEST - 9]}_{digest}"
