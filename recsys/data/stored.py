"""What stored tables hold of users who may not be read any more or of events past retention, and copies without it."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.data.tables import TableWriter, read_pieces
from recsys.schema import TABLES, TIMESTAMP, USER_ID
from recsys.storage import local_path, publish, verify


@dataclass(frozen=True)
class Limits:
    """Who may be read, None for everybody; since when events may be kept, None for always; and who is to be erased."""

    allowed: frozenset[str] | None
    since: datetime | None
    erased: frozenset[str] = frozenset()

    def withheld(self, users: Collection[str]) -> set[str]:
        """Return those of some users who may not be read."""
        refused = set() if self.allowed is None else set(users) - self.allowed
        return refused | self.erased.intersection(users)


def held(uri: str, limits: Limits) -> tuple[int, int]:
    """Return how many users a folder of tables holds who may not be read, and how many events past retention."""
    folder = local_path(uri)
    users: set[str] = set()
    expired = 0
    for table in TABLES:
        path = folder / f"{table}.parquet"
        if table == "items" or not path.exists():
            continue
        rows = pl.scan_parquet(path)
        users |= set(rows.select(pl.col(USER_ID).unique()).collect()[USER_ID].drop_nulls().to_list())
        if limits.since and table == "interactions":
            expired = int(rows.select((pl.col(TIMESTAMP) < limits.since).sum()).collect().item())
    return len(limits.withheld(users)), expired


def listed(uri: str, limits: Limits) -> int:
    """Return how many users that may not be read the lists of pseudonyms in a folder name, such as a register's."""
    return sum(len(limits.withheld(_users_of(path))) for path in sorted(local_path(uri).glob("*.parquet")))


def _users_of(path: Path) -> list[str]:
    if USER_ID not in pl.read_parquet_schema(path):
        return []
    return pl.scan_parquet(path).select(USER_ID).drop_nulls().unique().collect()[USER_ID].to_list()


def redact_tables(uri: str, limits: Limits, *, make_current: bool) -> str:
    """Publish a copy of a folder of tables without these rows, beside the one it is made from; returns its address."""
    info, folder = verify(uri).info, local_path(uri)
    base, digest = uri.rsplit("/", 1)
    info = {**info, "redacted_from": f"{info.get('redacted_from', '')} {digest}".strip()}
    with publish(base, info, make_current=make_current) as publication:
        rows = {path.stem: _copy(path, publication.path / path.name, limits)
                for path in sorted(folder.glob("*.parquet"))}  # fmt: skip
        for path in folder.glob("*.json"):  # the description of a training set, which names no user
            if path.name != "MANIFEST.json":
                shutil.copyfile(path, publication.path / path.name)
        if "rows" in info:
            publication.info |= {"rows": dict(rows)}
    return publication.uri


def _copy(path: Path, target: Path, limits: Limits) -> int:
    schema = pl.read_parquet_schema(path)
    with TableWriter(target, schema) as writer:
        for _, piece in read_pieces(path):
            writer.write(piece.filter(_kept(schema, limits)))
    return writer.n_rows


def _kept(schema: Collection[str], limits: Limits) -> pl.Expr:
    kept = pl.lit(True)
    if USER_ID in schema and limits.allowed is not None:
        kept &= pl.col(USER_ID).is_in(list(limits.allowed)) | pl.col(USER_ID).is_null()
    if USER_ID in schema and limits.erased:
        kept &= ~pl.col(USER_ID).is_in(list(limits.erased)).fill_null(False)
    if TIMESTAMP in schema and limits.since is not None:
        kept &= (pl.col(TIMESTAMP) >= limits.since).fill_null(True)
    return kept
