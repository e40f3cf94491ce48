"""Rotate the pseudonym key: everything loaded again under the new key, and only then put in the place of the old."""

import shutil
from datetime import timedelta
from typing import Any

from recsys.config import Config, LogSource
from recsys.errors import ConfigError, DataError
from recsys.pipeline.data import ingest, moment_of, validate
from recsys.pipeline.erasure_orders import has_orders
from recsys.storage import (
    current,
    join,
    list_names,
    local_path,
    locked,
    publish,
    read_manifest,
    remove,
    verify,
    versions,
)

Json = dict[str, Any]  # Any: JSON
_TABLES = ("quarantine", "staging", "snapshots")


def rotate_key(config: Config) -> Json:
    """Load every partition from the source under the configured key, then replace those of other keys.

    Pseudonyms cannot be computed from one another, so the source is read again, whole, into a folder aside. Nothing
    changes when a partition fails validation there. Killed during the switch, `select` refuses the mixture until this
    has run again. Returns the key's id and the partitions. Raises DataError when the source no longer holds a day that
    is stored and not past retention, ConfigError when the source is an event log.
    """
    from recsys.data import load_key
    from recsys.data.erased import count_tombstones
    from recsys.data.register import key_ids

    if isinstance(config.source, LogSource):
        raise ConfigError(
            "an event log holds pseudonyms alone, which no other key can be applied to; keep its key, or begin a new "
            "deployment with a new log"
        )
    key = load_key(config).key_id
    if key_ids(config.storage) <= {key}:
        return {"key_id": key, "partitions": []}
    if has_orders(config):
        raise DataError("orders of erasure are open and name users by the key of before; run recsys erase under it")
    if n_erased := count_tombstones(config.storage):
        raise DataError(
            f"{n_erased} users were erased and are kept out by hashes under the key of before: under another key they "
            "would come back. Take them out of the source, check their certificates, then remove "
            f"{join(config.storage, 'erasure', 'tombstones.json')} and rotate"
        )
    aside = config.model_copy(update={"storage": join(config.storage, "rotation", key)})
    staged = ingest(aside)["partitions"]
    validate(aside, staged)
    with locked(config.storage, "rotation"):
        names = [str(each["partition"]) for each in staged]
        expired = _not_loaded(config, names, str(staged[-1]["end"]))
        for room in _TABLES:
            for name in expired:
                remove(join(config.storage, room, name))
            for name in names:
                _copy(join(aside.storage, room, name), join(config.storage, room, name))
        _switch_consent(aside.storage, config.storage, key)
        remove(aside.storage)
    return {"key_id": key, "partitions": names}


def _not_loaded(config: Config, names: list[str], end: str) -> list[str]:
    """Return stored partitions past retention, which go; raise DataError for others that were not loaded again."""
    base, finish, days = join(config.storage, "snapshots"), moment_of(end), config.privacy.retention_days
    stored = {name: uri for name in list_names(base) if not name.startswith(".")
              if name not in names and (uri := current(join(base, name)))}  # fmt: skip
    ends = {name: moment_of(str(read_manifest(uri).info["end"])) for name, uri in stored.items()}
    kept = [name for name, last in ends.items() if not (days and last and finish and last <= finish - timedelta(days))]
    if kept:
        raise DataError(
            f"the source no longer holds {len(kept)} stored partitions, the first {kept[0]}: under another key their "
            "users would be others. Bring these days back to the source, or remove them from the storage's snapshots"
        )
    return list(stored)


def _switch_consent(aside: str, storage: str, key: str) -> None:
    for name in list_names(join(aside, "consent")):
        _copy(join(aside, "consent", name), join(storage, "consent", name))
    for name in list_names(join(storage, "consent")):
        found = current(join(storage, "consent", name))
        if found and read_manifest(found).info.get("key_id") != key:
            remove(join(storage, "consent", name))


def _copy(source: str, target: str) -> None:
    """Publish the current version of one place at another; nothing happens where there is none."""
    uri = current(source)
    if uri is None:
        if versions(target):  # rows of the old key that the new load did not set aside
            remove(target)
        return
    with publish(target, verify(uri).info) as publication:
        shutil.copytree(local_path(uri), publication.path, ignore=shutil.ignore_patterns("MANIFEST.json"),
                        dirs_exist_ok=True)  # fmt: skip
