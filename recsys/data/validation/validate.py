"""Check staged partitions, set bad rows aside, publish the rest: nothing of a partition that fails."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from pydantic import JsonValue

from recsys.config import Config
from recsys.data.validation.checker import Checker
from recsys.data.validation.continuity import Continuity, continuity_columns, continuity_rules
from recsys.data.validation.docs import docs_address, publish_docs
from recsys.data.validation.messages import failure_message, nothing_left
from recsys.data.validation.outcome import publish_quarantine, publish_snapshot
from recsys.data.validation.rules import Rule, partition_rules, row_rules
from recsys.data.validation.staged import Piece, Staged, batches
from recsys.data.validation.volume import previous_rows, volume_ratio
from recsys.errors import ValidationFailedError
from recsys.schema import EVENT, TABLES, TIMESTAMP, TableName


def validate_partitions(config: Config, partitions: list[dict[str, Any]]) -> dict[str, JsonValue]:  # Any: JSON
    """Validate what is staged for the partitions ingestion returned; publish one snapshot each, in the order given.

    What a later run has staged for a partition meanwhile counts, not what is handed: an older task that is cleared
    never brings back what was corrected. `newer` names these partitions.
    Data docs are built whatever happens. Raises ValidationFailedError at the first partition past a threshold, naming
    table, expectation, observed and allowed value: earlier partitions are published, this one and later ones are not.
    An empty partition among others gives an empty snapshot; a run without any event fails.
    """
    if not partitions:
        raise ValidationFailedError("nothing to validate: ingestion returned no partition; check start and end")
    staged = [Staged.of(config.storage, partition) for partition in partitions]
    run = _Run(config, staged)
    try:
        published = list(run.publish_all())
    finally:
        publish_docs(config, run.name, run.checker)
    rows: dict[str, JsonValue] = {table: sum(int(entry["rows"][table]) for entry in published) for table in TABLES}
    return {
        "snapshots": [*published],
        "data_docs": docs_address(config, run.name),
        "quarantined": sum(len(one.bad_positions(table)) for one in staged for table in TABLES),
        "rows": rows,
        "newer": [one.name for one in staged if one.is_newer],
    }


class _Run:
    """One call's checker, its partitions and the row count of the snapshot before each."""

    def __init__(self, config: Config, staged: list[Staged]) -> None:
        self.config, self.staged, self.checker = config, staged, Checker()
        first, last = staged[0].name, staged[-1].name
        self.name = first if first == last else f"{first}..{last}"
        self._docs = docs_address(config, self.name)
        self._clean: dict[str, int] = {}
        columns = continuity_columns(staged, config.validation)
        self._continuity = Continuity(config, columns)
        self._partition_rules = [*partition_rules(config.validation), *continuity_rules(config.validation, columns)]

    def publish_all(self) -> Iterator[dict[str, Any]]:  # Any: JSON
        if not any(one.rows["interactions"] for one in self.staged):
            raise ValidationFailedError(nothing_left(self.name, self.staged))
        for number, batch in enumerate(batches(self.staged, self.config.validation.batch_rows)):
            run = self.name if number == 0 else f"{self.name} part {number + 1}"
            self._check_rows(batch, run)
            finished = [piece.staged for piece in batch if piece.is_last]
            problems = self._check_partitions(finished, run) if finished else {}
            for one in finished:
                quarantine = publish_quarantine(self.config, one)
                if one.name in problems:
                    raise ValidationFailedError(
                        failure_message(one, problems[one.name], self.config.validation, self._docs, quarantine)
                    )
                yield publish_snapshot(self.config, one)

    def _check_rows(self, batch: Sequence[Piece], run: str) -> None:
        for table in reversed(TABLES):
            chosen = [piece for piece in batch if table == "interactions" or piece.is_first]
            pieces = [(piece, piece.staged.context(table)) for piece in chosen]
            if not pieces:
                continue
            rules = row_rules(table, self.config.validation, pieces[0][1])
            frames = [
                _checked(piece, table, row_rules(table, self.config.validation, context)) for piece, context in pieces
            ]
            if not any(map(len, frames)):
                continue
            rows = pl.concat(frames).to_pandas()
            failures = self.checker.failures(table, rules, rows, run, batch[-1].staged.end)
            _distribute(table, failures, [piece for piece, _ in pieces], [len(frame) for frame in frames])
        for piece in batch:
            _note_newest(piece)
            if piece.is_last:
                piece.staged.release()

    def _check_partitions(self, finished: list[Staged], run: str) -> dict[str, list[tuple[Rule, float]]]:
        rules = self._partition_rules
        frame = pl.DataFrame([self._measure(one) for one in finished], infer_schema_length=None)
        numbers = frame.drop("partition").cast(pl.Float64)
        failures = self.checker.failures("partitions", rules, numbers.to_pandas(), run, finished[-1].end)
        problems: dict[str, list[tuple[Rule, float]]] = {}
        for rule in rules:
            for position in failures.get(rule.name, ()):
                observed = float(numbers[rule.column][int(position)])
                problems.setdefault(finished[int(position)].name, []).append((rule, observed))
        return problems

    def _measure(self, one: Staged) -> dict[str, Any]:  # Any: numbers, a name and None
        clean = one.rows["interactions"] - len(one.bad_positions("interactions"))
        before = previous_rows(self.config, one.name, self._clean)
        self._clean[one.name] = clean
        empty = one.rows["interactions"] == 0
        age = (one.end - one.newest).total_seconds() / 3600 if one.newest else None
        return {
            "partition": one.name,
            "rows": None if empty else clean,
            "volume_ratio": None if empty else volume_ratio(clean, before),
            "hours_since_last_event": age,
            **{f"{table}_bad_fraction": len(one.bad_positions(table)) / max(one.rows[table], 1) for table in TABLES},
            **self._continuity.measure(one),
        }


def _checked(piece: Piece, table: TableName, rules: list[Rule]) -> pl.DataFrame:
    """Return only the columns the rules look at, one row per row of the piece."""
    whole = table != "interactions"
    offset, n_rows = (0, piece.staged.rows[table]) if whole else (piece.offset, piece.n_rows)
    rows = pl.scan_parquet(piece.staged.path(table)).slice(offset, n_rows)
    first = piece.staged.first(table).slice(offset, n_rows)
    unreadable = piece.staged.unreadable(table, offset, n_rows)
    columns = [
        (pl.col(rule.column) if rule.check is None else rule.check.fill_null(True)).alias(rule.column)
        for rule in {rule.column: rule for rule in rules}.values()
    ]
    checked = rows.with_columns(first.alias("first"), unreadable).select(columns).collect()
    return checked.with_columns(pl.col(EVENT).cast(pl.Categorical)) if EVENT in checked.columns else checked


def _distribute(table: TableName, failures: dict[str, np.ndarray], pieces: list[Piece], lengths: list[int]) -> None:
    edges = np.concatenate([[0], np.cumsum(lengths)])
    for rule, positions in failures.items():
        cuts = np.searchsorted(positions, edges)
        for piece, begin, end, edge in zip(pieces, cuts[:-1], cuts[1:], edges[:-1], strict=True):
            offset = piece.offset if table == "interactions" else 0
            piece.staged.note(table, rule, positions[begin:end] - edge + offset)


def _note_newest(piece: Piece) -> None:
    moments = pl.scan_parquet(piece.staged.path("interactions")).select(TIMESTAMP)
    moments = moments.slice(piece.offset, piece.n_rows)
    bad = piece.staged.bad_positions("interactions") - piece.offset
    good = np.ones(piece.n_rows, dtype=bool)
    good[bad[(bad >= 0) & (bad < piece.n_rows)]] = False
    newest = moments.collect()[TIMESTAMP].filter(pl.Series(good)).max()
    known = [moment for moment in (piece.staged.newest, newest) if moment is not None]
    piece.staged.newest = max(known) if known else None  # type: ignore[assignment]
