"""Who may be read: the register of consent as of each ingestion's end, and whose rows it withholds from what is stored.

An ingestion knows the whole register, a partition only its day. So each ingestion publishes, below `consent/<its end>`,
the pseudonyms that may pass. The newest end counts for everything that is read, whatever day it was loaded: who has
withdrawn, and who is no longer in the users table, is withheld from older days too; who agrees again comes back. An
older backfill publishes its own end and changes nothing. The pseudonyms of those who refused are not stored.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import polars as pl
from pydantic import JsonValue

from recsys.config import Config, PrivacyConfig
from recsys.data.consent import KEPT, PSEUDONYM, STATUS
from recsys.data.privacy import PseudonymKey
from recsys.data.tables import write_list
from recsys.errors import ConfigError, StorageError
from recsys.schema import USER_ID
from recsys.storage import current, join, list_names, local_path, publish, read_manifest, verify

_FOLDER = "consent"
_FILE = "users.parquet"


def publish_consent(
    config: Config, register: pl.DataFrame, privacy: PrivacyConfig, key: PseudonymKey, end: datetime
) -> str:
    """Publish who may pass by a register as of `end`; returns the address.

    Without any user row consent is unknown for everybody: with `consent_missing = "allow"` nobody is withheld.
    """
    everyone = register.is_empty() and privacy.consent_missing == "allow"
    info: dict[str, JsonValue] = {"end": end.isoformat(), "key_id": key.key_id, "everyone": everyone}
    with publish(join(config.storage, _FOLDER, _name(end)), info) as folder:
        if not everyone:
            allowed = register.filter(pl.col(STATUS) == KEPT)[PSEUDONYM].unique().sort()
            write_list(folder.path / _FILE, allowed.rename(USER_ID).to_frame())
    return folder.uri


def newest_consent(storage: str) -> str | None:
    """Return the address of the consent of the newest end; None before the first ingestion that published any."""
    base = join(storage, _FOLDER)
    ends = [name for name in list_names(base) if not name.startswith(".")]
    return current(join(base, max(ends))) if ends else None


def newest_end(storage: str) -> datetime | None:
    """Return the end of the newest consent, None before the first."""
    consent = newest_consent(storage)
    return datetime.fromisoformat(str(read_manifest(consent).info["end"])) if consent else None


def allowed_users(consent: str) -> pl.DataFrame | None:
    """Return the pseudonyms that may be read, one column `user_id`; None when nobody is withheld.

    Raises StorageError when the register is damaged.
    """
    if verify(consent).info["everyone"]:
        return None
    return pl.read_parquet(local_path(consent) / _FILE)


def withheld_users(storage: str, stored: pl.LazyFrame) -> pl.DataFrame:
    """Return those of the `user_id`s of stored rows that may not be read, sorted; one column."""
    consent = newest_consent(storage)
    allowed = allowed_users(consent) if consent else None
    if allowed is None:
        return pl.DataFrame(schema={USER_ID: pl.String})
    users = stored.select(USER_ID).drop_nulls().unique()
    return users.join(allowed.lazy(), on=USER_ID, how="anti").sort(USER_ID).collect()


def check_key(config: Config, key: PseudonymKey) -> None:
    """Refuse another pseudonym key than the storage was written with, which would make one user two.

    Raises ConfigError that names both keys' ids and how to rotate.
    """
    known = key_ids(config.storage)
    if known - {key.key_id}:
        raise ConfigError(
            f"the pseudonym key has the id {key.key_id}, but {config.storage} was written with "
            f"{', '.join(sorted(known))}: every user would become two. Set {config.privacy.key_env} to the key of "
            "before, or load everything again under the new one: recsys rotate-key"
        )


def key_ids(storage: str) -> set[str]:
    """Return the ids of the keys that the newest consent and every current snapshot were written with.

    What is damaged names no key; loading its day again repairs it.
    """
    base = join(storage, "snapshots")
    days = [join(base, name) for name in list_names(base) if not name.startswith(".")]
    found = {_key_id(partial(current, day)) for day in days} | {_key_id(partial(newest_consent, storage))}
    return {key for key in found if key is not None}


def _key_id(version: Callable[[], str | None]) -> str | None:
    try:
        uri = version()
        key = read_manifest(uri).info.get("key_id") if uri is not None else None
    except StorageError:
        return None
    return None if key is None else str(key)


def _name(end: datetime) -> str:
    """Return a name that sorts as ends do."""
    return end.strftime("%Y-%m-%dT%H%M%S")
