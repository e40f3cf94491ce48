"""Where a user may stand, and how much of a user stands there: what a certificate of erasure is about."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from recsys.config import Config
from recsys.errors import StorageError
from recsys.pipeline.gc_plan import TABLES
from recsys.pipeline.lineage import digest_at
from recsys.pipeline.rows_held import training_sets
from recsys.storage import is_local, join, list_names, local_path, read_manifest, read_text, versions

Json = dict[str, Any]  # Any: JSON
STATES, LOG, BROKER, MONITORING = "users", "eventlog", "quarantine-eventlog", "monitoring/before"
FILES: Final = {STATES: "users/users.sqlite", LOG: "eventlog/events.sqlite"}  # where no server holds them
LISTS: Final = ("consent", "datasets")
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")  # what may be a pseudonym
_PAGE: Final = 20_000


@dataclass(frozen=True)
class Wanted:
    """Whose traces are looked for: `owner` tells the receipt of a pseudonym, None for everybody else.

    Where the pseudonyms are known, by receipt, stores and tables are asked for them alone.
    """

    owner: Callable[[str], str | None]
    known: Mapping[str, str] = field(default_factory=dict)

    def count(self, rows: Iterable[tuple[str, int]]) -> Counter[str]:
        """Return by receipt how many rows there are, of pairs of a pseudonym and its rows."""
        found: Counter[str] = Counter()
        for user, n in rows:
            if (receipt := self.owner(user)) is not None:
                found[receipt] += n
        return found


@dataclass
class Place:
    """What one place holds: rows, entries of vocabularies, learned rows of towers or messages, by receipt.

    `folders` tells them apart by digest of a published folder. `rows` are the users' places in the table of towers.
    """

    held: Counter[str] = field(default_factory=Counter)
    folders: dict[str, Counter[str]] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)

    def add(self, digest: str, held: Counter[str]) -> None:
        """Count what one folder holds."""
        self.folders[digest] = self.folders.get(digest, Counter()) + held
        self.held += held


def survey(config: Config, wanted: Wanted) -> dict[str, Place]:
    """Return by name every place that may hold a user, and what it holds of those wanted; nothing is changed."""
    places = {STATES: Place(_in_states(config, wanted)), LOG: Place(_in_log(config, wanted)),
              BROKER: Place(_in_messages(config, wanted))}  # fmt: skip
    for room in (*TABLES, LISTS[0], "features", "models", "evaluations", "bundles"):
        for name in list_names(join(config.storage, room)):
            if not name.startswith("."):
                places[f"{room}/{name}"] = _of_folders(config, room, versions(join(config.storage, room, name)), wanted)
    places[LISTS[1]] = _of_folders(config, LISTS[1], versions(join(config.storage, LISTS[1])), wanted)
    return places


def file_digest(config: Config, place: str) -> str | None:
    """Return the SHA-256 of the file in which a place's rows stand; None where it is no file of this machine."""
    from recsys.storage.digest import sha256_of

    if place not in FILES or not is_local(config.storage):
        return None
    path = local_path(join(config.storage, FILES[place]))
    return sha256_of(path) if path.exists() else None


def learned(config: Config, place: str, rows: list[int]) -> int:
    """Return how many of some rows of the users' table are not zero, over all towers that a place has now."""
    from recsys.model.redact import learned_rows

    return sum(len(learned_rows(_query(uri), rows)) for uri in versions(join(config.storage, place))) if rows else 0


def _of_folders(config: Config, room: str, uris: list[str], wanted: Wanted) -> Place:
    place = Place()
    for uri in uris:
        if room in ("models", "evaluations"):
            _add_trained(config, room, uri, wanted, place)
        elif room in ("features", "bundles"):
            _add_training_set(uri, wanted, place, "dataset" if room == "bundles" else "")
        else:
            place.add(digest_at(uri), _in_tables(local_path(uri), wanted))
    return place


def _add_training_set(uri: str, wanted: Wanted, place: Place, inside: str) -> None:
    folder = local_path(uri) / inside
    rows = _places_of(folder, wanted)
    entries = Counter({receipt: len(found) for receipt, found in rows.items()})
    place.add(digest_at(uri), _in_tables(folder, wanted) + entries)
    if inside:  # a bundle brings its towers
        _add_towers(uri, rows, place)


def _add_trained(config: Config, room: str, uri: str, wanted: Wanted, place: Place) -> None:
    built = read_manifest(uri).info.get("built_from")
    base = join(config.storage, "features")
    sets = training_sets([each for name in list_names(base) if not name.startswith(".")
                          for each in versions(join(base, name))])  # fmt: skip
    features = sets.get(str(built.get("features", ""))) if isinstance(built, dict) else None
    if features is None:
        return
    if room == "models":
        _add_towers(uri, _places_of(local_path(features), wanted), place)
        return
    present = _in_tables(local_path(features), wanted)
    place.add(digest_at(uri), Counter({receipt: 1 for receipt, n in present.items() if n}))


def _add_towers(uri: str, rows: Mapping[str, list[int]], place: Place) -> None:
    from recsys.model.redact import learned_rows

    for receipt, found in rows.items():
        place.add(digest_at(uri), Counter({receipt: len(learned_rows(_query(uri), found))}))
        place.rows[receipt] = sorted({*place.rows.get(receipt, []), *found})


def _query(uri: str) -> Path:
    from recsys.model import QUERY_FILE

    folder = local_path(uri)
    return (folder / "towers" if (folder / "towers").exists() else folder) / QUERY_FILE


def _places_of(folder: Path, wanted: Wanted) -> dict[str, list[int]]:
    """Return by receipt the places, from 1, of users in the vocabulary of a training set."""
    from recsys.features import FeatureSpec

    try:
        vocabulary = FeatureSpec.load(folder).user_vocab
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the training set {folder}: {error}; restore or remove it") from None
    found: dict[str, list[int]] = {}
    for row, user in enumerate(vocabulary, 1):
        if (receipt := wanted.owner(user)) is not None:
            found.setdefault(receipt, []).append(row)
    return found


def _in_tables(folder: Path, wanted: Wanted) -> Counter[str]:
    import polars as pl

    from recsys.schema import USER_ID

    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.parquet")):
        if USER_ID not in pl.read_parquet_schema(path):
            continue
        rows = pl.scan_parquet(path).select(USER_ID).drop_nulls()
        if wanted.known:
            rows = rows.filter(pl.col(USER_ID).is_in(list(wanted.known.values())))
        found += wanted.count(rows.group_by(USER_ID).len().collect().iter_rows())
    return found


def _in_states(config: Config, wanted: Wanted) -> Counter[str]:
    from recsys.users import open_users

    store = open_users(config)
    try:
        if wanted.known:
            return Counter({receipt: int(store.holds(user)) for receipt, user in wanted.known.items()})
        return wanted.count((user, 1) for user in store.users())
    finally:
        store.close()


def _in_log(config: Config, wanted: Wanted) -> Counter[str]:
    from recsys.data import load_key
    from recsys.eventlog import has_log, open_log

    if not has_log(config):
        return Counter()
    log = open_log(config, load_key(config).key_id)
    try:
        if wanted.known:
            return Counter({receipt: sum(log.holds(user).values()) for receipt, user in wanted.known.items()})
        found = wanted.count((each.row.user_id, 1) for each in log.users())
        after = 0
        while page := log.read_events(after, _PAGE):
            found += wanted.count((each.row.user_id, 1) for each in page)
            after = page[-1].arrival
        return found
    finally:
        log.close()


def _in_messages(config: Config, wanted: Wanted) -> Counter[str]:
    return wanted.count((token, 1) for text in _messages(config) for token in set(_TOKEN.findall(text)))


def _messages(config: Config) -> Iterator[str]:
    base = join(config.storage, BROKER)
    for name in list_names(base):
        yield from read_text(join(base, name)).splitlines()


def leftovers(config: Config, users: frozenset[str]) -> list[str]:
    """Return folders that a killed writer left behind, or a living one fills, in which a user's rows or id stand.

    Of a file that cannot be read, as it is not whole, nothing can be told.
    """
    if not is_local(config.storage):
        return []
    rooms = (*TABLES, *LISTS, "features", "models", "evaluations", "bundles")
    aside = (folder for room in rooms for pattern in (".*", "*/.*")
             for folder in local_path(join(config.storage, room)).glob(pattern) if folder.is_dir())  # fmt: skip
    return sorted(str(folder) for folder in aside if any(_names_one(path, users) for path in folder.rglob("*")))


def _names_one(path: Path, users: frozenset[str]) -> bool:
    import polars as pl

    from recsys.schema import USER_ID

    try:
        if path.suffix == ".parquet":
            rows = pl.scan_parquet(path)
            return USER_ID in rows.collect_schema() and bool(
                rows.select(pl.col(USER_ID).is_in(list(users)).any()).collect().item()
            )
        if path.suffix == ".json":
            return not users.isdisjoint(_TOKEN.findall(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return False
    return False
