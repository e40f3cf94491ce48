"""MLflow's database below a root that was moved."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from recsys.errors import RegistryError
from recsys.registry.relocation import follow_root

TABLES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def root_of(folder: Path, *locations: str) -> Path:
    """Make a root whose database names the given places."""
    (folder / "mlartifacts").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        for table, column in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({column} TEXT)")
        connection.executemany("INSERT INTO experiments VALUES (?)", [(place,) for place in locations])
        for table, column in list(TABLES.items())[1:]:
            connection.executemany(
                f"INSERT INTO {table} ({column}) VALUES (?)", [(f"{place}/x/artifacts",) for place in locations]
            )
    return folder


def told(root: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        return {
            table: [row[0] for row in connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid")]
            for table, column in TABLES.items()
        }


def test_every_place_of_the_former_root_is_one_of_the_present_root(tmp_path: Path) -> None:
    root = root_of(tmp_path / "restored", "/srv/state/mlartifacts")
    follow_root(str(root))
    place = f"{root}/mlartifacts"
    inside = [f"{place}/x/artifacts"]
    assert told(root) == {
        "experiments": [place], "runs": inside, "logged_models": inside, "model_versions": inside,
    }  # fmt: skip


def test_following_twice_or_where_nothing_moved_writes_nothing(tmp_path: Path) -> None:
    root = root_of(tmp_path / "state", "/srv/state/mlartifacts")
    follow_root(str(root))
    before = told(root)
    with closing(sqlite3.connect(root / "mlflow.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")  # whoever writes now would wait
        follow_root(str(root))
    assert told(root) == before


def test_places_outside_the_former_root_stay(tmp_path: Path) -> None:
    foreign = ["/srv/state/mlartifacts2", "/srv/other/mlruns/0", "s3://bucket/mlartifacts-of-others"]
    root = root_of(tmp_path / "restored", "/srv/state/mlartifacts", *foreign)
    follow_root(str(root))
    assert told(root)["experiments"] == [f"{root}/mlartifacts", *foreign]
    assert told(root)["runs"][1:] == [f"{place}/x/artifacts" for place in foreign]


def test_a_path_with_wildcards_of_sql_is_only_itself(tmp_path: Path) -> None:
    root = root_of(tmp_path / "it's here", "/srv/st_te%/mlartifacts", "/srv/state/else")
    follow_root(str(root))
    assert told(root)["runs"] == [f"{root}/mlartifacts/x/artifacts", "/srv/state/else/x/artifacts"]


def test_a_root_behind_a_link_is_no_move(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    root = root_of(tmp_path / "disk", f"{tmp_path}/link/mlartifacts")
    follow_root(str(root))
    assert told(root)["experiments"] == [f"{tmp_path}/link/mlartifacts"]


def test_without_the_artifacts_or_a_database_nothing_happens(tmp_path: Path) -> None:
    root = root_of(tmp_path / "restored", "/srv/state/mlartifacts")
    (root / "mlartifacts").rmdir()
    for each in (str(root), str(tmp_path / "nothing"), "memory://bucket/state"):
        follow_root(each)
    assert told(root)["experiments"] == ["/srv/state/mlartifacts"]
    assert not (tmp_path / "nothing").exists()


def test_a_database_that_is_not_one_is_a_registry_error(tmp_path: Path) -> None:
    (tmp_path / "mlartifacts").mkdir()
    (tmp_path / "mlflow.db").write_text("no database, but long enough to be taken for one by mistake" * 9)
    with pytest.raises(RegistryError, match="run again"):
        follow_root(str(tmp_path))


def test_a_new_database_without_tables_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mlartifacts").mkdir()
    (tmp_path / "mlflow.db").touch()
    follow_root(str(tmp_path))
