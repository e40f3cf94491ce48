"""Which stored folders hold rows that may not be kept, their own or those of what they were made of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys.errors import StorageError
from recsys.pipeline.lineage import digest_at
from recsys.storage import join, local_path, read_manifest

if TYPE_CHECKING:
    from recsys.data.stored import Limits


@dataclass(frozen=True)
class Held:
    """How many withheld users a folder holds and how many events past retention, and through what.

    `removable` tells whether a copy can be made without them: of towers only a new training is without.
    """

    users: int = 0
    events: int = 0
    through: str = ""
    removable: bool = True
    damaged: bool = False

    @property
    def anything(self) -> bool:
        """Whether there is anything that may not be kept."""
        return bool(self.users or self.events or self.damaged)

    def __str__(self) -> str:
        if self.damaged:
            return "cannot be read, so nobody can tell what it holds"
        parts = [f"{self.users} withheld users"] * bool(self.users) + [f"{self.events} events past retention"] * bool(
            self.events
        )
        return f"{'made of' if self.through else 'holds'} {' and '.join(parts)}{self.through and f': {self.through}'}"


def held_by(folders: dict[str, list[str]], limits: "Limits", *, trained: bool = False) -> dict[str, Held]:
    """Return by address what each folder holds.

    With `trained`, lists of pseudonyms count too, and of models, evaluations and bundles what they learned of users who
    were taken out of the training sets before: of all of these a copy without can be made.
    """
    from recsys.data.stored import held, listed

    found: dict[str, Held] = {}
    for room in ("snapshots", "staging", "quarantine"):
        found |= {uri: Held(*held(uri, limits)) for uri in folders[room]}
    found |= {uri: _of_training_set(uri, limits) for uri in folders["features"]}
    found |= {uri: _of_training_set(join(uri, "dataset"), limits) for uri in folders["bundles"]}
    if trained:
        found |= {uri: Held(listed(uri, limits)) for room in ("consent", "datasets") for uri in folders[room]}
        return found | _trained(folders, found)
    by_digest = {digest_at(uri): uri for uri in folders["features"] if found[uri].anything}
    for uri in (*folders["models"], *folders["evaluations"]):
        if (features := by_digest.get(_features_of(uri))) is not None:
            own = found[features]
            found[uri] = Held(own.users, own.events, f"features/{digest_at(features)}", removable=False)
    return found


def _trained(folders: dict[str, list[str]], found: dict[str, Held]) -> dict[str, Held]:
    from recsys.features import load_spec
    from recsys.model import QUERY_FILE
    from recsys.model.redact import learned_rows
    from recsys.registry import removed_places

    by_digest = training_sets(folders["features"])
    result = {}
    for uri in (*folders["models"], *folders["evaluations"]):
        if (features := by_digest.get(_features_of(uri))) is None:
            result[uri] = Held(damaged=True)
            continue
        own, left = found[features], int(digest_at(features) != _features_of(uri))
        if uri in folders["models"]:
            left = len(learned_rows(local_path(uri) / QUERY_FILE, removed_places(load_spec(features).user_vocab)))
        result[uri] = Held(own.users + left, 0, f"features/{digest_at(features)}", damaged=own.damaged)
    for uri in folders["bundles"]:
        if (own := found[uri]).damaged:
            continue
        rows = removed_places(load_spec(join(uri, "dataset")).user_vocab)
        left = len(learned_rows(local_path(uri) / "towers" / QUERY_FILE, rows))
        result[uri] = Held(own.users + left)
    return result


def training_sets(features: list[str]) -> dict[str, str]:
    """Return digest -> address of training sets; one that was collected is followed to the copy made of it."""
    found: dict[str, str] = {}
    for uri in features:
        try:
            before = str(read_manifest(uri).info.get("redacted_from", "")).split()
        except StorageError:
            continue
        found |= {digest: uri for digest in before if digest not in found}
    return found | {digest_at(uri): uri for uri in features}


def _of_training_set(uri: str, limits: "Limits") -> Held:
    import numpy as np
    import polars as pl

    from recsys.features import REMOVED, FeatureSpec

    folder = local_path(uri)
    try:
        spec = FeatureSpec.load(folder)
        users = set(pl.read_parquet(folder / "users.parquet", columns=["user_id"])["user_id"].to_list())
        times = np.load(folder / "event_timestamp.npy", mmap_mode="r")
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return Held(damaged=True)
    users |= {user for user in spec.user_vocab if not user.startswith(REMOVED)}
    expired = int((times < limits.since.timestamp()).sum()) if limits.since and spec.timed else 0
    return Held(len(limits.withheld(users)), expired)


def _features_of(uri: str) -> str:
    try:
        built = read_manifest(uri).info.get("built_from")
    except StorageError:
        return ""
    return str(built.get("features", "")) if isinstance(built, dict) else ""
