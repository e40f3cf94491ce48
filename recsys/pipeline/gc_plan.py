"""What a collection would do, and why; nothing is changed here.

What is looked at: tables (snapshots, staging, quarantine), training sets (datasets, features), and what was made of
them (models, evaluations, indexes, bundles). Monitoring reports, data docs and the ledger hold counts alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from recsys.config import Config
from recsys.errors import DataError, StorageError
from recsys.pipeline.lineage import digest_at
from recsys.pipeline.rows_held import Held, held_by
from recsys.storage import current, exists, join, list_names, read_manifest, relative_to_root, versions

if TYPE_CHECKING:
    from recsys.data.stored import Limits
    from recsys.serving import Champion

Json = dict[str, Any]  # Any: JSON
TABLES = ("snapshots", "staging", "quarantine")
MADE = ("features", "models", "evaluations", "indexes", "bundles")
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Finding:
    """One folder that does not stay as it is: its address below the storage root, what becomes of it, and why."""

    address: str
    action: Literal["delete", "redact"]
    reason: str


@dataclass(frozen=True)
class Plan:
    """All findings, in the order of their addresses; champions by whether they serve, the one that does last."""

    findings: tuple[Finding, ...]
    champions: tuple["Champion", ...]
    limits: "Limits"
    as_of: datetime

    def of(self, action: str, *rooms: str) -> list[str]:
        """Return the addresses of some rooms that an action is planned for."""
        return [each.address for each in self.findings
                if each.action == action and each.address.split("/", 1)[0] in rooms]  # fmt: skip


def plan_gc(config: Config, as_of: datetime) -> Plan:
    """Return what holds rows of withheld users, or events past retention at `as_of`, and what nothing refers to.

    Kept are the current tables, the champions of the year before `as_of` with the one a rollback goes back to, and what
    their training sets read: what holds such rows is to be replaced by a copy without them. What was made of the newest
    training set stays where it holds none. Raises DataError when the champion was trained under another pseudonym key
    than the storage has now.
    """
    limits = limits_of(config, as_of)
    champions = kept_champions(config, as_of)
    folders = _folders(config.storage)
    held = held_by(folders, limits)
    kept = _kept(config, folders, champions)
    newest = current(join(config.storage, "datasets"))
    unfinished = set(_made_of(folders, newest, held)) if newest else set()
    found = (
        _finding(config, uri, held.get(uri, Held()), uri in kept, uri in unfinished)
        for uris in folders.values()
        for uri in uris
    )
    findings = [each for each in found if each]
    return Plan(tuple(sorted(findings, key=lambda each: each.address)), champions, limits, as_of)


def plan_erasure(config: Config, users: frozenset[str], as_of: datetime) -> Plan:
    """Return what holds anything of some users: kept folders are to be redacted, all others deleted.

    Kept is what a collection keeps. What holds nothing stays, needed or not. Raises StorageError where a kept folder
    cannot be read, so that nobody can tell whom it holds.
    """
    from recsys.data.stored import Limits

    limits = Limits(None, None, users)
    champions = kept_champions(config, as_of)
    folders = _folders(config.storage)
    held = held_by(folders, limits, trained=True)
    kept = _kept(config, folders, champions)
    if damaged := sorted(uri for uri in kept if held.get(uri, Held()).damaged):
        raise StorageError(f"{damaged[0]} {held[damaged[0]]}; restore it, or train and promote again, then erase again")
    findings = [found for uri in held if held[uri].anything and (found := _finding(config, uri, held[uri], uri in kept,
                is_unfinished=False))]  # fmt: skip
    return Plan(tuple(sorted(findings, key=lambda each: each.address)), champions, limits, as_of)


def limits_of(config: Config, as_of: datetime) -> "Limits":
    """Return who may be read by the newest consent, and since when events may be kept."""
    from recsys.data.register import allowed_users, newest_consent
    from recsys.data.stored import Limits

    consent = newest_consent(config.storage)
    allowed = allowed_users(consent) if consent else None
    days = config.privacy.retention_days if config.timed else 0
    return Limits(
        None if allowed is None else frozenset(allowed["user_id"].to_list()),
        as_of - timedelta(days=days) if days else None,
    )


def kept_champions(config: Config, as_of: datetime) -> "tuple[Champion, ...]":
    """Return the champions that may have to serve again and are whole, oldest first, the one that serves last."""
    from recsys.registry import read_ledger
    from recsys.serving import Champion, read_champion

    serving = read_champion(config.storage)
    if serving is None:
        return ()
    _refuse_other_key(config, serving)
    former: dict[str, Champion] = {}
    for record in read_ledger(config.storage):
        if isinstance(record.get("served"), dict):
            try:
                former[str(record["version"])] = Champion.of_record(config.storage, record["served"])  # type: ignore[arg-type]
            except StorageError:  # its files are gone
                former.pop(str(record["version"]), None)
    former.pop(serving.version, None)
    usable = [each for each in former.values()
              if (each.version == serving.previous or datetime.fromisoformat(each.trained_until) >= as_of - _YEAR)
              and exists(each.bundle) and exists(each.index) and _key_of(each) in (None, _key_of(serving))]  # fmt: skip
    return (*usable, serving)


def addresses_of(champion: "Champion") -> tuple[str, ...]:
    """Return the folders a champion names."""
    return (champion.bundle, champion.index, champion.dataset, champion.evaluation, champion.recipe_towers,
            champion.recipe_features)  # fmt: skip


def _folders(root: str) -> dict[str, list[str]]:
    rooms = {"datasets": versions(join(root, "datasets"))}
    for room in (*TABLES, "consent", *MADE):
        base = join(root, room)
        rooms[room] = [
            uri for name in list_names(base) if not name.startswith(".") for uri in versions(join(base, name))
        ]
    return rooms


def _kept(config: Config, folders: dict[str, list[str]], champions: "tuple[Champion, ...]") -> set[str]:
    """Return what stays, or is replaced: what champions name, current tables, and what these training sets read."""
    from recsys.data import read_by
    from recsys.data.register import newest_consent

    root = config.storage
    kept = {join(root, relative_to_root(root, uri)) for each in champions for uri in addresses_of(each)}
    kept |= {uri for room in TABLES for uri in folders[room] if current(uri.rsplit("/", 1)[0]) == uri}
    kept |= {uri for uri in (current(join(root, "datasets")), newest_consent(root)) if uri}
    return kept | {uri for dataset in kept & set(folders["datasets"]) for uri in read_by(dataset)}


def _made_of(folders: dict[str, list[str]], dataset: str, held: dict[str, Held]) -> Iterator[str]:
    """Yield what was made of a training set, and of what was made of it, as far as it holds nothing."""
    known = {digest_at(dataset), *str(read_manifest(dataset).info.get("redacted_from", "")).split()}
    for room in MADE:
        for uri in folders[room]:
            if known & set(_parents(uri)) and not held.get(uri, Held()).anything:
                known.add(digest_at(uri))
                yield uri


def _parents(uri: str) -> list[str]:
    try:
        info = read_manifest(uri).info
    except StorageError:
        return []
    built = info.get("built_from")
    return [str(info.get("dataset")), *(map(str, built.values()) if isinstance(built, dict) else ())]


def _finding(config: Config, uri: str, held: Held, is_kept: bool, is_unfinished: bool) -> Finding | None:
    if is_unfinished or (is_kept and not (held.anything and held.removable)):
        return None
    reason = str(held) if held.anything else "nothing refers to it"
    return Finding(relative_to_root(config.storage, uri), "redact" if is_kept else "delete", reason)


def _key_of(champion: "Champion") -> str | None:
    from recsys.data import read_by

    found = (read_manifest(uri).info.get("key_id") for uri in read_by(champion.dataset) if exists(uri))
    return next((str(key) for key in found if key), None)


def _refuse_other_key(config: Config, champion: "Champion") -> None:
    from recsys.data.register import key_ids

    known, own = key_ids(config.storage), _key_of(champion)
    if len(known) > 1 or (own and known and own not in known):
        raise DataError(
            f"the storage was written with the pseudonym keys {', '.join(sorted({*known, *([own] if own else [])}))}: "
            "nobody can tell whose rows are whose; finish recsys rotate-key, train and promote under the new key, "
            "then collect"
        )
