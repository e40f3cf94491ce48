"""A first configuration of somebody's files, as commented TOML: every guess with its reason, nothing left unsaid."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from recsys.config import TableMapping
from recsys.data.sources.contents import distinct
from recsys.data.sources.guess import Guess, guess
from recsys.data.sources.sampling import Sample, sample
from recsys.schema import CONSENT_PERSONALIZATION, EVENT, REQUIRED_COLUMNS, TIMESTAMP, TableName

_CONSENT: Final = """
[privacy]
# No column tells who agreed to personalisation, so every user is withheld. Uncomment the next line only if all users in
# these files agreed in another place, for it lets every user through whose consent is not recorded.
# consent_missing = "allow"
"""
_NO_TIMES: Final = "timestamps"  # the setting that says that events have no times


def draft(name: str, uris: dict[TableName, str]) -> str:
    """Return TOML for the files of some tables; raise SourceError when one of them cannot be read."""
    found = {table: sample(uri) for table, uri in uris.items()}
    guesses = {table: guess(each, table) for table, each in found.items()}
    lines = [
        "# Written by recsys init from the first rows of the files. A comment says why a line was guessed: check it.",
        f"name = {_text(name)}",
        f"storage = {_text(f'state/{name}')}",
        'partition = "all"            # "day" for daily loads',
        "",
        "[source]",
        'kind = "files"',
    ]
    for table, each in guesses.items():
        lines += ["", f"[source.{table}]", *_table(found[table], each, table)]
    consents = "users" in guesses and CONSENT_PERSONALIZATION in guesses["users"].columns
    return "\n".join(lines) + "\n" + ("" if consents else _CONSENT)


def _table(found: Sample, each: Guess, table: TableName) -> Iterator[str]:
    yield f"uri = {_text(found.uri)}"
    for name, (value, why) in found.settings.items():
        yield _line(f"{name} = {_toml(value)}", why)
    for name, value in each.settings.items():
        yield _line(f"{name} = {_toml(value)}", each.why.get(name, ""))
    lacking = [name for name in REQUIRED_COLUMNS[table] if name not in {*each.columns, *each.constants}]
    if TIMESTAMP in lacking:
        lacking.remove(TIMESTAMP)
        if _NO_TIMES in TableMapping.model_fields:
            yield _line(f'{_NO_TIMES} = "none"', "no column holds times: what is held out is drawn at random")
        else:
            each.constants[TIMESTAMP] = "2000-01-01"
            each.why[TIMESTAMP] = "no column holds times"
    if each.flags and EVENT in lacking:
        lacking.remove(EVENT)
    ignored = each.rest(found.names)
    if ignored:
        yield "ignore = [  # columns that are not used; map them below, or list them as extra = [...] (categorical)"
        yield from (_line(f"  {_text(source)},", _looks(found, source)) for source in ignored)
        yield "]"
    yield from (f"# {name} was not found: map it below" for name in lacking)
    sections: dict[str, Mapping[str, object]] = {
        "columns": each.columns,
        "constants": each.constants,
        "flags": each.flags,
        "events": each.events,
    }
    for section, entries in sections.items():
        if entries:
            yield ""
            yield f"[source.{table}.{section}]"
        for key, value in entries.items():
            yield _line(f"{_key(key)} = {_toml(value)}", _reason(section, key, str(value), each))


def _reason(section: str, key: str, value: str, each: Guess) -> str:
    if section == "flags":
        return each.why.get(f"flags.{key}", "")
    if section == "events":
        return "no idea what this is: check" if value == "ignore" else "by the word"
    return each.why.get(key, "")


def _looks(found: Sample, source: str) -> str:
    n, several = len(distinct(found.columns[source])), len(found.columns[source])
    return f"{n} different value{'s' if n != 1 else ''} in {several} rows"


def _line(setting: str, why: str) -> str:
    return f"{setting}  # {why}" if why else setting


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else _text(key)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def name_of(uri: str) -> str:
    """Return a deployment's name after a file: letters, digits and dashes of its stem."""
    stem = Path(uri.rsplit("/", 1)[-1]).name.split(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "my-site"
