"""What a person reads when validation stops a run: ids never, links always."""

import polars as pl

from recsys.config import ValidationConfig
from recsys.data.event_words import unknown_words
from recsys.data.validation.checker import expectation_name
from recsys.data.validation.rules import Rule, row_rules
from recsys.data.validation.staged import Staged
from recsys.schema import EVENT, TABLES, TableName


def failure_message(
    staged: Staged, problems: list[tuple[Rule, float]], validation: ValidationConfig, docs: str, quarantine: str | None
) -> str:
    """Name table, expectation, observed and allowed value of a failed partition, and where to look further.

    `problems` holds the failed rules about the partition with their observed values. Too many bad rows explain a low
    volume and not the other way round, so they come first.
    """
    rule, observed = max(problems, key=lambda problem: problem[0].name.endswith("_bad_fraction"))
    rows = f"bad rows: {quarantine}; " if quarantine else ""
    links = (
        f"the snapshot is unchanged; {rows}data docs: {docs}; mend the source or its mapping and load it again, from "
        "ingest: validating alone reads what is staged already"
    )
    for table in TABLES:
        if rule.name == f"{table}_bad_fraction":
            return f"{_bad_rows(staged, table, observed, validation)}; {links}"
    allowed = ", ".join(
        f"{name} {value:.4g}" for name, value in rule.arguments.items() if isinstance(value, float | int)
    )
    return (
        f"partition {staged.name}, table interactions: expectation {rule.name}, {expectation_name(rule)}, observed "
        f"{observed:.4g} ({rule.description}), allowed {allowed}; {links}"
    )


def nothing_left(name: str, partitions: list[Staged]) -> str:
    """Say why a run has no event: the source had none, or the privacy door let none pass."""
    counts = [one.counts for one in partitions]
    read = sum(count.get("read", 0) for count in counts)
    if not read:
        return f"no interactions in {name}: the source has no event in this interval; check start and end"
    known, withheld = (max(count.get(key, 0) for count in counts) for key in ("users_read", "users_withheld"))
    names = sorted({key for count in counts for key in count if key.startswith(("withheld", "dropped"))})
    sums = ((key, sum(count.get(key, 0) for count in counts)) for key in names)
    detail = ", ".join(f"{key} {n}" for key, n in sums if n)
    return (
        f"no rows left in {name}: {withheld} of {known} users withheld at the privacy door, {read} events read "
        f"({detail}); check consent_personalization in users, or privacy.consent_missing and retention_days"
    )


def _bad_rows(staged: Staged, table: TableName, observed: float, validation: ValidationConfig) -> str:
    worst, n_bad = staged.worst(table)
    rule = next(rule for rule in row_rules(table, validation, staged.context()) if rule.name == worst)
    words = (
        unknown_words(pl.read_parquet(staged.path(table), columns=[EVENT])[EVENT]) if table == "interactions" else ""
    )
    return (
        f"partition {staged.name}, table {table}: expectation {worst}, {expectation_name(rule)}, failed for {n_bad} of "
        f"{staged.rows[table]} rows; all expectations together {observed:.1%}, allowed "
        f"{validation.max_bad_fraction:.1%} (validation.max_bad_fraction)"
    ) + (f"; {words}" if words else "")
