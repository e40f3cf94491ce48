"""What becomes of a checked partition: bad rows with their reasons in quarantine, good ones in a snapshot."""

import shutil
from collections.abc import Iterator
from typing import Any, Final

import polars as pl
from pydantic import JsonValue

from recsys.config import Config
from recsys.data.tables import TableWriter, read_pieces
from recsys.data.validation.staged import Staged
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS, REASON, TABLES, TableName
from recsys.storage import join, list_names, publish

_ROW: Final = "_row"  # a row's place in its table: `position` is a column of the contract
_SCHEMAS: dict[TableName, dict[str, pl.DataType]] = {
    "interactions": INTERACTIONS,
    "users": PRIVATE_USERS,
    "items": ITEMS,
}


def publish_quarantine(config: Config, staged: Staged) -> str | None:
    """Publish the partition's bad rows with the column `reason`; None when it has none and never had any."""
    base = join(config.storage, "quarantine", staged.name)
    if not staged.bad and not list_names(base):
        return None
    with publish(base, {"partition": staged.name}) as folder:
        for table in TABLES:
            reasons = staged.reasons(table).rename({"position": _ROW})
            with TableWriter(folder.path / f"{table}.parquet", {**_SCHEMAS[table], REASON: pl.String()}) as writer:
                for numbered in _numbered(staged, table) if len(reasons) else ():
                    bad = numbered.join(reasons, on=_ROW, how="inner", maintain_order="left")
                    writer.write(bad.drop(_ROW))
    return folder.uri


def publish_snapshot(config: Config, staged: Staged) -> dict[str, Any]:  # Any: JSON
    """Publish the partition's good rows; a table without bad rows keeps its staged bytes."""
    rows = {table: staged.rows[table] - len(staged.bad_positions(table)) for table in TABLES}
    info: dict[str, JsonValue] = {
        **staged.info,
        "partition": staged.name,
        "rows": {str(table): n for table, n in rows.items()},
    }
    with publish(join(config.storage, "snapshots", staged.name), info) as folder:
        for table in TABLES:
            target = folder.path / f"{table}.parquet"
            if rows[table] == staged.rows[table]:
                shutil.copyfile(staged.path(table), target)
                continue
            bad = pl.DataFrame({_ROW: staged.bad_positions(table)})
            with TableWriter(target, _SCHEMAS[table]) as writer:
                for numbered in _numbered(staged, table):
                    good = numbered.join(bad, on=_ROW, how="anti", maintain_order="left")
                    writer.write(good.drop(_ROW))
    return {"partition": staged.name, "snapshot": folder.uri, "rows": rows}


def _numbered(staged: Staged, table: TableName) -> Iterator[pl.DataFrame]:
    for offset, piece in read_pieces(staged.path(table)):
        yield piece.with_columns(pl.int_range(offset, offset + len(piece), dtype=pl.Int64).alias(_ROW))
