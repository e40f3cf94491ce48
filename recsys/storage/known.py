"""Folders that were hashed before, so that a daily run hashes only what is new or was touched since."""

from typing import Any

from recsys.errors import StorageError
from recsys.storage.addresses import is_local, local_path, relative_to_root
from recsys.storage.digest import digest_of
from recsys.storage.files import exists, read_json, write_json
from recsys.storage.folders import Manifest, read_manifest, verify


class KnownFolders:
    """Verifies published folders below `root`, each once; what was found is kept in one JSON file.

    A folder is hashed again when any file of it has another size, time of modification or of change, or inode, and
    when a file was added or removed. That finds every write and every copy, as programs cannot set the time of change;
    it does not find a disk that returns other bytes than were written. `storage.verify`, or a run without the JSON
    file, hashes everything. A remote folder is hashed every time, for its copy here says nothing of it.
    """

    def __init__(self, root: str, address: str) -> None:
        self._root, self._address = root, address
        self._before = self._read()
        self._now: dict[str, str] = {}

    def verify(self, uri: str) -> Manifest:
        """Return the manifest of a folder; raise StorageError when it is damaged, as `storage.verify` does."""
        name, stamp = relative_to_root(self._root, uri), _stamp(uri)
        known = bool(stamp) and self._before.get(name) == stamp
        manifest = read_manifest(uri) if known else verify(uri)
        if stamp:
            self._now[name] = stamp
        return manifest

    def save(self) -> None:
        """Keep what was verified, and forget the rest."""
        if self._now != self._before:
            write_json(self._address, self._now)

    def _read(self) -> dict[str, Any]:  # Any: JSON
        try:
            told = read_json(self._address) if exists(self._address) else {}
        except StorageError:  # a damaged cache is no cache
            return {}
        return told if isinstance(told, dict) else {}


def _stamp(uri: str) -> str:
    """Return a digest of what the file system says of a folder's files before they are read; empty for a remote one."""
    if not is_local(uri):
        return ""
    folder = local_path(uri)
    try:
        found = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if not path.is_dir()}
    except OSError:
        return ""  # `verify` says what is wrong
    told = {name: [at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino] for name, at in found.items()}
    return digest_of({name: list(map(str, each)) for name, each in told.items()})
