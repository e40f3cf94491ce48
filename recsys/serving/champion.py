"""Which model serves: one small file, replaced in one step, so that a reader sees the old champion or the new one."""

from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.errors import StorageError
from recsys.storage import exists, join, read_json, write_json


class Champion(BaseModel):
    """The serving version, the addresses of its bundle and index, and why it serves (a run key or "rollback")."""

    model_config = ConfigDict(frozen=True)
    version: str
    bundle: str
    index: str
    promoted_for: str = ""


def read_champion(root: str) -> Champion | None:
    """Return the champion of a storage root, or None when none serves yet."""
    uri = _uri(root)
    if not exists(uri):
        return None
    try:
        return Champion.model_validate(read_json(uri))
    except ValidationError as error:
        raise StorageError(f"{uri} names no champion: {error}; promote or roll back to write it again") from error


def write_champion(root: str, champion: Champion) -> None:
    """Make a version serve; raise StorageError, and leave the old one serving, when its folders are not there."""
    for uri in (champion.bundle, champion.index):
        if not exists(uri):
            raise StorageError(f"{uri} is missing; register version {champion.version} again before it can serve")
    write_json(_uri(root), champion.model_dump())


def _uri(root: str) -> str:
    return join(root, "serving", "champion.json")
