"""What a person reads when validation stops a run: ids never, links always."""

from typing import Final

import numpy as np
import polars as pl

from recsys.config import ValidationConfig
from recsys.data.consent import why_withheld
from recsys.data.event_words import unknown_words
from recsys.data.identifiers import strangers
from recsys.data.validation.checker import expectation_name
from recsys.data.validation.rules import Rule, row_rules
from recsys.data.validation.staged import Staged
from recsys.schema import EVENT, ITEM_ID, TABLES, TIMESTAMP, TableName

_USERS: Final = ("users_read", "users_withheld", "users_unrecorded")


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
    if rule.setting:
        allowed += f" (validation.{rule.setting}: change it for this load where the data is right as it is)"
    return (
        f"partition {staged.name}, table {rule.table}: expectation {rule.name}, {expectation_name(rule)}, observed "
        f"{observed:.4g} ({rule.description}), allowed {allowed}; {links}"
    )


def nothing_left(name: str, partitions: list[Staged]) -> str:
    """Say why a run has no event: the source had none, or the privacy door let none pass."""
    counts = [one.counts for one in partitions]
    read = sum(count.get("read", 0) for count in counts)
    if not read:
        return f"no interactions in {name}: the source has no event in this interval; check start and end"
    names = sorted({key for count in counts for key in count if key.startswith(("withheld", "dropped"))})
    sums = {key: sum(count.get(key, 0) for count in counts) for key in names}
    users = {key: max(count.get(key, 0) for count in counts) for key in _USERS}
    detail = ", ".join(f"{key} {n}" for key, n in sums.items() if n)
    found = [seen for one in partitions if isinstance(seen := one.info.get("id_forms"), dict)]
    forms = {table: str(form) for table, form in found[0].items()} if found else {}
    return (
        f"no rows left in {name}: {users['users_withheld']} of {users['users_read']} users withheld at the privacy "
        f"door, {read} events read ({detail}); {why_withheld({**users, **sums}, forms)}"
    )


def _bad_rows(staged: Staged, table: TableName, observed: float, validation: ValidationConfig) -> str:
    worst, n_bad = staged.worst(table)
    rule = next(rule for rule in row_rules(table, validation, staged.context(table)) if rule.name == worst)
    words = (
        unknown_words(pl.read_parquet(staged.path(table), columns=[EVENT])[EVENT]) if table == "interactions" else ""
    )
    return (
        f"partition {staged.name}, table {table}: expectation {worst}, {expectation_name(rule)}, failed for {n_bad} of "
        f"{staged.rows[table]} rows ({rule.description}{_seen(staged, worst)}); all expectations together "
        f"{observed:.1%}, allowed {validation.max_bad_fraction:.1%} (validation.max_bad_fraction)"
    ) + (f"; {words}" if words else "")


def _seen(staged: Staged, rule: str) -> str:
    """Say what the rows hold that break a rule, where that is no secret: far times, and items that are not known."""
    if rule == "item_known":
        named, known = (
            pl.read_parquet(staged.path(name), columns=[ITEM_ID])[ITEM_ID] for name in ("interactions", "items")
        )
        unlike = strangers(named, known)
        return f"; {unlike}" if unlike else ""
    if rule == "timestamp_plausible":
        positions = np.unique(np.concatenate(staged.bad["interactions"][rule]))
        far = pl.read_parquet(staged.path("interactions"), columns=[TIMESTAMP])[TIMESTAMP].gather(positions)
        return f"; found times from {far.min()!s} to {far.max()!s}"
    return ""
