"""Training sets: which snapshots a run reads, and their tables as one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

import polars as pl

from recsys.config import Config
from recsys.data.register import newest_consent, withheld_users
from recsys.data.tables import write_list
from recsys.errors import DataError
from recsys.schema import ITEM_ID, TIMESTAMP, USER_ID, TableName
from recsys.storage import (
    KnownFolders,
    current,
    exists,
    join,
    list_names,
    local_path,
    publish,
    read_json,
    read_manifest,
    verify,
    versions,
    write_json,
)

_WITHHELD = "withheld.parquet"
_ROW = "_row"


@dataclass(frozen=True)
class DatasetRef:
    """A training set's address, its content's digest, and the snapshots it reads."""

    uri: str
    digest: str
    snapshots: tuple[str, ...]


def list_snapshots(config: Config) -> dict[str, str]:
    """Return partition -> address of its current snapshot, in the order of time."""
    base = join(config.storage, "snapshots")
    names = [name for name in list_names(base) if (name == "all") == (config.partition == "all")]
    found = {name: current(join(base, name)) for name in names if not name.startswith(".")}
    return {name: uri for name, uri in found.items() if uri is not None}


def select_snapshots(config: Config, as_of: datetime | None = None) -> DatasetRef:
    """Publish the list of snapshots a run reads: of days before `as_of`, events within `features.window_days`.

    Users and items come from every such day. Retention applies here too, counted back from `as_of`, so an event that
    was young enough when it was read does not outlive it. So does the newest consent: users it does not let pass are
    listed in the training set and never read, whatever day brought them; the digest changes with that list. Events
    without times are read whole, whatever `as_of` says. Raises DataError when no snapshot is left, or when they were
    written with several pseudonym keys, StorageError when one is damaged. A snapshot that was found whole before and
    was not touched since is not hashed again (`storage.KnownFolders` says what that leaves unseen); removing
    `scans/snapshots.json` from the storage hashes all of them.
    """
    known = KnownFolders(config.storage, join(config.storage, "scans", "snapshots.json"))
    found = {name: (uri, known.verify(uri).info) for name, uri in list_snapshots(config).items()}
    known.save()
    chosen = {
        name: (uri, datetime.fromisoformat(str(info["end"])))
        for name, (uri, info) in found.items()
        if as_of is None or _untimed(info) or datetime.fromisoformat(str(info["start"])) < as_of
    }
    if not chosen:
        before = f" before {as_of.isoformat()}" if as_of else ""
        raise DataError(
            f"no snapshots{before} under {join(config.storage, 'snapshots')}; run ingest and validate first"
        )
    _refuse_mixed_keys(config, {name: found[name][1] for name in chosen})
    untimed = any(_untimed(found[name][1]) for name in chosen)
    if untimed:
        as_of = None  # nobody can tell what came before
    until = as_of or max(end for _, end in chosen.values())
    limits = [days for days in (config.features.window_days, config.privacy.retention_days) if days]
    since = until - timedelta(days=min(limits)) if limits else None
    tables = [{"snapshot": _relative(uri), "events": since is None or end > since} for uri, end in chosen.values()]
    withheld = withheld_users(config.storage, _stored_users(uri for uri, _ in chosen.values()))
    with publish(join(config.storage, "datasets")) as folder:
        if len(withheld):
            write_list(folder.path / _WITHHELD, withheld)
        description = {
            "as_of": as_of.isoformat() if as_of else None,
            "since": since.isoformat() if since else None,
            "snapshots": tables,
            **({"time": "unknown"} if untimed else {}),
        }
        write_json(str(folder.path / "dataset.json"), description)
    return DatasetRef(folder.uri, folder.uri.rsplit("/", 1)[-1], tuple(uri for uri, _ in chosen.values()))


def is_timed(dataset_uri: str) -> bool:
    """Tell whether the events of a training set have times."""
    return not _untimed(read_json(join(dataset_uri, "dataset.json")))


def read_table(dataset_uri: str, table: TableName) -> pl.LazyFrame:
    """Return one table of a training set: all its events in order, or the latest row of each user or item.

    Rows of users the training set withholds are not among them.
    """
    dataset = read_json(join(dataset_uri, "dataset.json"))
    read = read_by(dataset_uri, events_only=table == "interactions")
    frames = [pl.scan_parquet(local_path(snapshot) / f"{table}.parquet") for snapshot in read]
    if not frames:
        raise DataError(f"the training set {dataset_uri} has no {table} in its window; widen features.window_days")
    if table != "interactions":
        frames = _latest(frames, USER_ID if table == "users" else ITEM_ID)
    rows = pl.concat(frames, how="diagonal_relaxed")
    if table != "items" and exists(join(dataset_uri, _WITHHELD)):
        withheld = pl.scan_parquet(local_path(dataset_uri) / _WITHHELD)
        rows = rows.join(withheld, on=USER_ID, how="anti", maintain_order="left")
    if table != "interactions":
        return rows
    limits = []
    if dataset["since"]:
        limits.append(pl.col(TIMESTAMP) >= datetime.fromisoformat(dataset["since"]))
    if dataset["as_of"]:
        limits.append(pl.col(TIMESTAMP) < datetime.fromisoformat(dataset["as_of"]))
    return reduce(lambda frame, limit: frame.filter(limit), limits, rows)


def end_of(dataset_uri: str) -> datetime:
    """Return when the tables of a training set end: what they say of users was known by then."""
    as_of = read_json(join(dataset_uri, "dataset.json"))["as_of"]
    ends = [datetime.fromisoformat(str(read_manifest(snapshot).info["end"])) for snapshot in read_by(dataset_uri)]
    return min([max(ends), *([datetime.fromisoformat(as_of)] if as_of else [])])


def read_withheld(dataset_uri: str) -> list[str]:
    """Return the pseudonyms of users of whom a training set reads nothing, although rows of them are stored."""
    if not exists(join(dataset_uri, _WITHHELD)):
        return []
    return pl.read_parquet(local_path(dataset_uri) / _WITHHELD)[USER_ID].to_list()


def read_by(dataset_uri: str, *, events_only: bool = False) -> list[str]:
    """Return the addresses of the snapshots a training set reads, `events_only` those within its window.

    One that was collected is followed to the copy that was made of it without the rows that may not be kept.
    """
    root = dataset_uri.rstrip("/").rsplit("/", 2)[0]
    entries = read_json(join(dataset_uri, "dataset.json"))["snapshots"]
    return [_successor(join(root, entry["snapshot"])) for entry in entries if entry["events"] or not events_only]


def _latest(frames: list[pl.LazyFrame], key: str) -> list[pl.LazyFrame]:
    """Return frames with the rows whose key no later row of any of them has; only the keys are read for it.

    So the texts of an item that stands in a hundred days' snapshots are read once.
    """
    keys = [frame.select(pl.col(key).cast(pl.String)).collect() for frame in frames]
    last = pl.concat(keys).select(pl.col(key).is_last_distinct()).to_series()
    result, start = [], 0
    for frame, own in zip(frames, keys, strict=True):
        kept = last.slice(start, len(own)).arg_true().rename(_ROW).to_frame().lazy()
        rows = frame.with_row_index(_ROW).join(kept, on=_ROW, how="semi", maintain_order="left")
        result.append(rows.drop(_ROW))
        start += len(own)
    return result


def _successor(snapshot: str) -> str:
    if exists(snapshot):
        return snapshot
    base, digest = snapshot.rsplit("/", 1)
    for uri in versions(base):
        if digest in str(read_manifest(uri).info.get("redacted_from", "")).split():
            return uri
    return snapshot


def _stored_users(snapshots: Iterable[str]) -> pl.LazyFrame:
    names = ("interactions", "users")
    return pl.concat([pl.scan_parquet(local_path(uri) / f"{name}.parquet").select(USER_ID)
                      for uri in snapshots for name in names])  # fmt: skip


def _refuse_mixed_keys(config: Config, infos: Mapping[str, Mapping[str, object]]) -> None:
    consent = newest_consent(config.storage)
    known = {**infos, **({"the consent": verify(consent).info} if consent else {})}
    keys = {str(info["key_id"]): name for name, info in known.items() if "key_id" in info}
    if len(keys) > 1:
        told = ", ".join(f"{key} ({name})" for key, name in sorted(keys.items()))
        raise DataError(
            f"what is stored was written with several pseudonym keys, {told}: one user would be two; finish the "
            "rotation with recsys rotate-key"
        )


def _untimed(info: Mapping[str, object]) -> bool:
    return info.get("time") == "unknown"


def _relative(uri: str) -> str:
    """Snapshots are named below the root, so that a copied root keeps its digests."""
    return "/".join(uri.rsplit("/", 3)[1:])
