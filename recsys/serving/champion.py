"""Which bundle serves: one small file, replaced atomically, that names everything relative to the storage root."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from recsys.storage import exists, join, read_json, relative_to_root, resolve, write_json

_ADDRESSES = ("bundle", "index", "dataset", "evaluation", "recipe_towers", "recipe_features")


class Champion(BaseModel):
    """The version in force, its files, the run and training set it came from, and the one it replaced.

    Who it is, is `digest`: of the bundle and of the index; the version is MLflow's number for it. `recipe_towers` and
    `recipe_features` are what was judged, trained without the days that measured it. `trained_until` is where the data
    of the served towers ends. `quality` is the product, over all champions so far, of how much better each was than the
    one before on the same rows.
    """

    model_config = ConfigDict(frozen=True)
    version: str
    digest: str
    bundle: str
    index: str
    run_id: str
    run_key: str
    dataset: str
    evaluation: str
    recipe_towers: str
    recipe_features: str
    trained_until: str
    quality: float = 1.0
    previous: str | None = None

    def to_record(self, root: str) -> dict[str, Any]:  # Any: JSON
        """Return what is written down: every address relative to the storage root."""
        return self.model_dump() | {name: relative_to_root(root, getattr(self, name)) for name in _ADDRESSES}

    @classmethod
    def of_record(cls, root: str, record: dict[str, Any]) -> Self:  # Any: JSON
        """Read what was written down, below the storage root as it lies now.

        Raises StorageError when an address is not below it.
        """
        champion = cls.model_validate(record)
        return champion.model_copy(update={name: resolve(root, getattr(champion, name)) for name in _ADDRESSES})


def read_champion(root: str) -> Champion | None:
    """Return the champion, or None before the first promotion."""
    path = join(root, "serving", "champion.json")
    return Champion.of_record(root, read_json(path)) if exists(path) else None


def write_champion(root: str, champion: Champion) -> None:
    """Make a version serve."""
    write_json(join(root, "serving", "champion.json"), champion.to_record(root))
