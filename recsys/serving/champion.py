"""Which bundle serves: one small file, replaced atomically."""

from pydantic import BaseModel, ConfigDict

from recsys.storage import exists, join, read_json, write_json


class Champion(BaseModel):
    """The version in force, its files, the run and training set it came from, and the one it replaced."""

    model_config = ConfigDict(frozen=True)
    version: str
    bundle: str
    index: str
    run_id: str
    run_key: str
    dataset: str
    evaluation: str
    trained_until: str
    previous: str | None = None


def read_champion(root: str) -> Champion | None:
    """Return the champion, or None before the first promotion."""
    path = join(root, "serving", "champion.json")
    return Champion.model_validate(read_json(path)) if exists(path) else None


def write_champion(root: str, champion: Champion) -> None:
    """Make a version serve."""
    write_json(join(root, "serving", "champion.json"), champion.model_dump())
