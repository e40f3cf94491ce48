"""Storage's door: addresses over fsspec, atomic files, published folders with content hashes, locks.

Whatever is kept names other things of the same storage root relative to it, so that a root can be renamed, copied and
restored elsewhere: `relative_to_root` before writing, `resolve` after reading.
"""

from recsys.storage.addresses import is_local, join, local_path, relative_to_root, resolve
from recsys.storage.digest import digest_of
from recsys.storage.files import append_line, exists, list_names, read_json, read_text, write_json, write_text
from recsys.storage.folders import (
    FileEntry,
    Manifest,
    Publication,
    current,
    intact,
    publish,
    read_manifest,
    remove,
    verify,
    versions,
)
from recsys.storage.known import KnownFolders
from recsys.storage.locks import is_locked, locked

__all__ = [
    "FileEntry",
    "KnownFolders",
    "Manifest",
    "Publication",
    "append_line",
    "current",
    "digest_of",
    "exists",
    "intact",
    "is_local",
    "is_locked",
    "join",
    "list_names",
    "local_path",
    "locked",
    "publish",
    "read_json",
    "read_manifest",
    "read_text",
    "relative_to_root",
    "remove",
    "resolve",
    "verify",
    "versions",
    "write_json",
    "write_text",
]
