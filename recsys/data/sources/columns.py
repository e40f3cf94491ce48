"""Whether a table's columns are those its mapping speaks of; every disagreement is told at once."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from recsys.config import TableMapping
from recsys.errors import SourceError
from recsys.schema import EVENT, REQUIRED_COLUMNS, TABLE_SCHEMAS, TIMESTAMP, TableName

LIKE_A_VALUE: Final = re.compile(r"[+-]?\d[\d.,:/T +-]*Z?|[0-9a-f]{8}-[0-9a-f-]{27}|\S+@\S+", re.IGNORECASE)
_ALIKE: Final = 0.6  # difflib's usual ratio from which two names are thought to be one misspelt


def check_columns(found: list[str], mapping: TableMapping, table: TableName, where: str) -> None:
    """Raise SourceError when a required column is missing or a column is neither mapped, declared nor ignored."""
    if problems := column_problems(found, mapping, table, where):
        raise SourceError("; ".join(problems))


def column_problems(found: list[str], mapping: TableMapping, table: TableName, where: str) -> list[str]:
    """Return every disagreement of a mapping with the contract and with the columns `found`, a sentence each."""
    contract = TABLE_SCHEMAS[table]
    problems = []
    named = dict.fromkeys([*mapping.columns, *mapping.constants, *(key for key in mapping.missing if key != "*")])
    if stray := [name for name in named if name not in contract]:
        problems.append(
            f"source.{table} maps {', '.join(stray)}, which {table} does not have{_meant(stray, contract)}; use one of "
            f"{', '.join(contract)}"
        )
    if mapping.timestamps == "none" and TIMESTAMP in found and not _is_ignored(TIMESTAMP, mapping):
        problems.append(
            f'{where} has a column {TIMESTAMP!r}, but source.{table}.timestamps is "none"; leave that setting out, or '
            f"list the column in source.{table}.ignore"
        )
    unused = [name for name in found if not _is_declared(name, mapping, contract)]
    lacking = dict(_lacking(found, mapping, table))
    if lacking and mapping.header and (n_values := sum(LIKE_A_VALUE.fullmatch(name) is not None for name in found)):
        return [  # what stands in a first row of data is told to nobody
            *problems,
            f"{where} lacks {_columns(lacking, table)}; {n_values} of the {len(found)} names in its first row look "
            f"like values: if it has no header row, set source.{table}.header = false and map columns by place, from 0",
        ]
    if lacking:
        example = ", ".join(f'{name} = "{_guess(source, unused)}"' for name, source in lacking.items())
        untimed = (
            f', or say that there are no times: source.{table}.timestamps = "none"' if TIMESTAMP in lacking else ""
        )
        problems.append(
            f"{where} lacks {_columns(lacking, table)}; found {', '.join(found)}. Map "
            f"{'it' if len(lacking) == 1 else 'them'}: source.{table}.columns = {{ {example} }}{untimed}"
        )
    if unused:
        problems.append(
            f"{where} has columns nobody declared: {', '.join(unused)}; map them in source.{table}.columns, or list "
            f'them in source.{table}.extra (categorical features) or source.{table}.ignore ("*" for all others)'
        )
    return problems


def _lacking(found: list[str], mapping: TableMapping, table: TableName) -> Iterator[tuple[str, str]]:
    """Yield contract names with the source columns they need and that are not there."""
    taken = set(mapping.columns.values())
    needless = {EVENT: bool(mapping.flags), TIMESTAMP: mapping.timestamps == "none"}
    required = [name for name in REQUIRED_COLUMNS[table] if not needless.get(name, False)]
    for name in dict.fromkeys([*required, *mapping.columns, *mapping.extra]):
        source = mapping.columns.get(name, name)
        own = name in mapping.columns or source not in taken or name in mapping.extra
        if name not in mapping.constants and (source not in found or not own):
            yield name, source
    yield from ((f"flags.{kind}", column) for kind, column in mapping.flags.items() if column not in found)


def _is_declared(name: str, mapping: TableMapping, contract: Iterable[str]) -> bool:
    own = {*contract} - {*mapping.columns, *mapping.constants} - ({EVENT} if mapping.flags else set())
    known = {*mapping.columns.values(), *mapping.extra, *mapping.flags.values(), *own}
    return name in known or _is_ignored(name, mapping)


def _is_ignored(name: str, mapping: TableMapping) -> bool:
    return any(name == each or ("*" in each and fnmatchcase(name, each)) for each in mapping.ignore)


def _columns(lacking: dict[str, str], table: TableName) -> str:
    each = ", ".join(f"{source!r} for {table}.{name}" for name, source in lacking.items())
    return f"the column{'s' if len(lacking) > 1 else ''} {each}"


def _meant(stray: list[str], contract: Iterable[str]) -> str:
    close = {name: get_close_matches(name, list(contract), 1, _ALIKE) for name in stray}
    pairs = [f"{found[0]} for {name}" for name, found in close.items() if found]
    return f" (did you mean {', '.join(pairs)}?)" if pairs else ""


def _guess(source: str, unused: list[str]) -> str:
    folded = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in unused}
    close = get_close_matches(re.sub(r"[^a-z0-9]", "", source.lower()), list(folded), 1, _ALIKE)
    return folded[close[0]] if close else "..."
