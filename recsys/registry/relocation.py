"""MLflow's own database below the storage root, after the root was renamed, copied or restored elsewhere.

Without a server MLflow keeps absolute paths of artifacts in `<root>/mlflow.db`. They are rewritten as soon as they
name another place than the one the database lies in. Needs no MLflow.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from recsys.errors import RegistryError
from recsys.storage import is_local, local_path

ARTIFACTS = "mlartifacts"  # the folder below the root that every experiment of ours writes to
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
_PATIENCE_S = 60.0


def follow_root(root: str) -> None:
    """Let the database below `root` name artifacts where they lie now; nothing happens when it does already.

    One transaction that waits for other writers; a second call changes nothing. Paths outside the former root stay.
    Raises RegistryError when the database cannot be read or written.
    """
    if not is_local(root):
        return
    home = local_path(root).resolve()
    database, present = home / "mlflow.db", home / ARTIFACTS
    if not database.exists() or not present.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=_PATIENCE_S, isolation_level=None)) as connection:
            if list(_former(connection, present)):
                connection.execute("BEGIN IMMEDIATE")
                for former in list(_former(connection, present)):
                    _rewrite(connection, former, str(present))
                connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise RegistryError(
            f"{database} was moved with its artifacts and cannot be told so: {error}; fix its permissions, or wait "
            "until no other process writes to it, then run again"
        ) from error


def _former(connection: sqlite3.Connection, present: Path) -> Iterator[str]:
    """Yield the folders that experiments of ours name and that are not the present one."""
    if not _has(connection, "experiments", "artifact_location"):
        return
    found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    for location in sorted({row[0] for row in found if row[0]}):
        folder = Path(location)
        if folder.name == ARTIFACTS and not (folder.exists() and folder.samefile(present)):
            yield location


def _rewrite(connection: sqlite3.Connection, former: str, present: str) -> None:
    for table, column in _PLACES:
        if _has(connection, table, column):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of this module
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (present, len(former) + 1, former, len(former) + 1, f"{former}/"),
            )


def _has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))
