"""Who was erased stays erased: keyed hashes of pseudonyms, which the privacy door holds every user against.

The list lies at `erasure/tombstones.json` below the storage root. It holds the HMAC of each pseudonym under the
pseudonym key and the time of the order, so that without the key it tells of nobody. Whoever consents anew in the event
log, after the order, passes again.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

import polars as pl

from recsys.config import Config
from recsys.data.privacy import PseudonymKey, pseudonym_of
from recsys.errors import ConfigError, StorageError
from recsys.eventlog import has_log, open_log
from recsys.storage import exists, join, locked, read_json, write_json

ORDERS: Final = "erasure/orders"
_FILE: Final = "erasure/tombstones.json"
_ERASED: Final = b"erased "  # before a pseudonym, so that no other use of the key gives the same hash


@dataclass(frozen=True)
class Tombstones:
    """Tombstone -> the time of the order; `renewed` tells whether a pseudonym consented anew after a time."""

    key: PseudonymKey
    ordered: Mapping[str, datetime]
    renewed: Callable[[str, datetime], bool]

    def marks(self, pseudonyms: pl.Series) -> pl.Series:
        """Return bool per pseudonym: the user was erased and has not consented anew; a null is nobody."""
        if not self.ordered:
            return pl.repeat(False, len(pseudonyms), dtype=pl.Boolean, eager=True)
        erased = [each for each in pseudonyms.drop_nulls().unique().to_list() if self._marks(each)]
        return pseudonyms.is_in(erased).fill_null(False)

    def _marks(self, pseudonym: str) -> bool:
        at = self.ordered.get(tombstone_of(pseudonym, self.key))
        return at is not None and not self.renewed(pseudonym, at)


def order_erasure(storage: str, user_id: str, key: PseudonymKey, at: datetime) -> str:
    """Write an order to erase a user by the id of the source; returns its receipt. The id is not written anywhere."""
    receipt = uuid4().hex
    order = {"receipt": receipt, "user": pseudonym_of(user_id, key), "key_id": key.key_id, "at": at.isoformat()}
    write_json(join(storage, ORDERS, f"{receipt}.json"), order)
    return receipt


def tombstone_of(pseudonym: str, key: PseudonymKey) -> str:
    """Return 64 hex digits: the HMAC-SHA256 of a pseudonym under the pseudonym key."""
    return hmac.digest(key.key, _ERASED + pseudonym.encode(), "sha256").hex()


def bury(config: Config, ordered: Mapping[str, datetime], key: PseudonymKey) -> None:
    """Add pseudonyms with the times of their orders to the list; of two times of one user the later one counts."""
    with locked(config.storage, "tombstones"):
        known = dict(_read(config.storage, key))
        for pseudonym, at in ordered.items():
            name = tombstone_of(pseudonym, key)
            known[name] = max(at, known.get(name, at))
        told = {name: at.isoformat() for name, at in known.items()}
        write_json(join(config.storage, _FILE), {"key_id": key.key_id, "erased": told})


def read_tombstones(config: Config, key: PseudonymKey) -> Tombstones:
    """Return who was erased from a storage.

    Raises ConfigError where the list was written with another pseudonym key, StorageError where it is damaged.
    """
    return Tombstones(key, _read(config.storage, key), _renewal(config, key))


def count_tombstones(storage: str) -> int:
    """Return how many users are kept out, whatever key the list was written with."""
    return len(read_json(join(storage, _FILE))["erased"]) if exists(join(storage, _FILE)) else 0


def _read(storage: str, key: PseudonymKey) -> dict[str, datetime]:
    address = join(storage, _FILE)
    if not exists(address):
        return {}
    try:
        found = read_json(address)
        key_id = str(found["key_id"])
        ordered = {str(name): datetime.fromisoformat(at) for name, at in found["erased"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise StorageError(f"{address} is damaged; restore it, or erased users would come back") from None
    if key_id != key.key_id:
        raise ConfigError(
            f"{address} was written with the pseudonym key {key_id}, the present key is {key.key_id}: nobody can tell "
            "who was erased. Set the key of before"
        )
    return ordered


def _renewal(config: Config, key: PseudonymKey) -> Callable[[str, datetime], bool]:
    def renewed(pseudonym: str, at: datetime) -> bool:
        if not has_log(config):
            return False
        log = open_log(config, key.key_id)
        try:
            latest = log.user(pseudonym)
        finally:
            log.close()
        return bool(latest and latest.arrived_at > at and latest.row.consent_personalization and not latest.row.deleted)

    return renewed
