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


def held_by(folders: dict[str, list[str]], limits: "Limits") -> dict[str, Held]:
    """Return by address what each folder holds."""
    from recsys.data.stored import held

    found: dict[str, Held] = {}
    for room in ("snapshots", "staging", "quarantine"):
        found |= {uri: Held(*held(uri, limits)) for uri in folders[room]}
    found |= {uri: _of_training_set(uri, limits) for uri in folders["features"]}
    found |= {uri: _of_training_set(join(uri, "dataset"), limits) for uri in folders["bundles"]}
    by_digest = {digest_at(uri): uri for uri in folders["features"] if found[uri].anything}
    for uri in (*folders["models"], *folders["evaluations"]):
        if (features := by_digest.get(_features_of(uri))) is not None:
            own = found[features]
            found[uri] = Held(own.users, own.events, f"features/{digest_at(features)}", removable=False)
    return found


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
