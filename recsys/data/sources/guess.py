"""Which column of a file likely means what: by name first, then by what stands in it. Every guess says why."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Final

from recsys.config import TableMapping
from recsys.data.event_words import likely_kind
from recsys.data.sources.contents import are_moments, are_numbers, distinct, is_flag, timestamp_settings
from recsys.data.sources.sampling import Sample
from recsys.schema import EVENT, EVENT_KINDS, ITEM_ID, TABLE_SCHEMAS, TIMESTAMP, USER_ID, VALUE, TableName

_NAMES: Final[dict[str, str]] = {
    "user_id": "user uid visitor visitorid customer customerid member memberid reader readerid account profileid",
    "item_id": "item itemid article articleid product productid sku movie movieid video videoid anime animeid isbn "
    "book bookid song songid track trackid game gameid content contentid asin news newsid show showid",
    "event": "eventtype eventname action actiontype behavior behaviour behaviortype interaction activity type",
    "timestamp": "time ts at timems datetime eventtime createdat created occurredat unixtime epoch date",
    "value": "rating score stars bookrating playtimems playtime watchtime hours playcount plays dwelltime seconds "
    "overall",
    "device": "devicetype platform",
    "country": "countrycode",
    "session_id": "session",
    "request_id": "request",
    "position": "rank slot",
    "age": "agegroup",
    "gender": "sex",
    "location": "city region place address",
    "occupation": "job profession",
    "consent_personalization": "consent personalization personalisation optin gdprconsent personalizationconsent",
    "consent_analytics": "analyticsconsent analytics",
    "do_not_sell": "ccpa donotsell optoutsale",
    "signed_up_at": "signupdate signedup registered registrationdate joined joindate createdat",
    "title": "name headline booktitle moviename itemname",
    "description": "summary overview abstract synopsis plot body",
    "categories": "category genre genres tags tag topics topic section",
    "creator": "author bookauthor director artist brand channel studio",
    "language": "lang",
    "published_at": "publishdate published releasedate released publicationdate uploaddt createdat",
    "expires_at": "expires expiry expirationdate availableuntil",
    "duration_s": "duration durations length lengths seconds",
}
_MOMENTS: Final = (TIMESTAMP, "signed_up_at", "published_at", "expires_at")
_NUMBERS: Final = (VALUE, "position", "propensity", "age", "duration_s")
_NULL_WORDS: Final = {"null", "\\n", "na", "n/a", "nan"}
_MOST_KINDS: Final = 20  # different words above which a column is no kind of event
_RATINGS: Final = re.compile("rat(e|ing)|score|stars|overall")
_LASTING: Final = re.compile("play|watch|dwell|hour|second|view|listen|time")


@dataclass
class Guess:
    """What a table's columns likely are: `columns` by contract name, and settings; `why` tells each one's reason."""

    columns: dict[str, str] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def rest(self, names: list[str]) -> list[str]:
        """Return the columns that mean nothing yet."""
        return [name for name in names if name not in {*self.columns.values(), *self.flags.values()}]


def guess(found: Sample, table: TableName) -> Guess:
    """Return what the columns of a sample of a table likely are; what is not found is left out."""
    result = Guess()
    found = _without_null_words(found, result)
    for name in TABLE_SCHEMAS[table]:
        source = _by_name(name, result.rest(found.names), found)
        if source is not None:
            result.columns[name], result.why[name] = source, "by its name"
    if table == "interactions":
        _by_content(result, found)
        _deeds(result, found)
    else:
        key = USER_ID if table == "users" else ITEM_ID
        _first(result, found, key, lambda each: len(distinct(found.columns[each])) == len(found.columns[each]))
    if result.missing:
        result.settings["missing"], result.why["missing"] = (
            result.missing,
            "words that seem to mean that it is not known",
        )
    moments = [result.columns[name] for name in _MOMENTS if name in result.columns]
    for name, (value, why) in timestamp_settings([found.columns[source] for source in moments]).items():
        result.settings[name], result.why[name] = value, why
    if "categories" in result.columns and result.columns["categories"] not in found.lists:
        cells = found.columns[result.columns["categories"]]
        mark = max("|,;", key=lambda each: sum(each in cell for cell in cells))
        if mark != "|" and any(mark in cell for cell in cells):
            result.settings["list_separator"], result.why["list_separator"] = mark, "it divides most categories"
    if "decimal" in TableMapping.model_fields and _has_decimal_commas(result, found):
        result.settings["decimal"], result.why["decimal"] = ",", "numbers are written with a comma"
    return result


def _has_decimal_commas(result: Guess, found: Sample) -> bool:
    cells = [cell for name in _NUMBERS if name in result.columns for cell in found.columns[result.columns[name]]]
    return any("," in cell for cell in cells)


def _without_null_words(found: Sample, result: Guess) -> Sample:
    """Return the sample with empty cells in place of usual words for "not known", and note which there are."""
    words = {
        cell for cells in found.columns.values() for cell in cells if cell.lower() in _NULL_WORDS or cell == "None"
    }
    if not words:
        return found
    result.missing["*"] = sorted(words)
    cleared = {name: ["" if cell in words else cell for cell in cells] for name, cells in found.columns.items()}
    return replace(found, columns=cleared)


def _by_name(name: str, unused: list[str], found: Sample) -> str | None:
    folded = {_folded(source): source for source in reversed(unused)}
    names = [_folded(name), *_NAMES.get(name, "").split()]
    exact = [folded[each] for each in names if each in folded]
    close = [folded[each] for each in get_close_matches(_folded(name), list(folded), 3, 0.85)]
    return next((source for source in [*exact, *close] if _fits(name, found.columns[source])), None)


def _folded(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _fits(name: str, cells: list[str]) -> bool:
    if name in _MOMENTS:
        return are_moments(cells, named=True)
    if name in _NUMBERS:
        return are_numbers(cells)
    if name == EVENT:
        return 0 < len(distinct(cells)) <= _MOST_KINDS and not are_moments(cells)
    return True


def _by_content(result: Guess, found: Sample) -> None:
    """Guess the columns every event needs by what stands in them, where their names said nothing."""
    cells, nameless = found.columns, all(name.isdigit() for name in found.names)
    later = found.names[2:] if nameless else []  # where ids seldom stand: they have as many digits as old times
    _first(result, found, TIMESTAMP, lambda each: are_moments(cells[each], named=each in later))
    _first(
        result, found, EVENT, lambda each: _fits(EVENT, cells[each]) and any(map(likely_kind, distinct(cells[each])))
    )
    for name in (USER_ID, ITEM_ID):
        _first(result, found, name, lambda each: not is_flag(cells[each]))
    if nameless:
        _first(result, found, VALUE, lambda each: are_numbers(cells[each]) and len(distinct(cells[each])) > 1)


def _first(result: Guess, found: Sample, name: str, fits: Callable[[str], bool]) -> None:
    source = next((each for each in result.rest(found.names) if fits(each)), None)
    if source is not None and name not in result.columns:
        result.columns[name], result.why[name] = source, "by what stands in it: check"


def _are_marks(cells: list[str]) -> bool:
    """Return whether few whole or half numbers up to 10 stand in a column, as ratings do."""
    found = distinct(cells)
    return len(found) <= 20 and all(float(cell.replace(",", ".")) * 2 in range(-2, 21) for cell in found)


def _deeds(result: Guess, found: Sample) -> None:
    """Guess what happened in a row: words for kinds, flags, or the same in every row."""
    value = result.columns.get(VALUE)
    if EVENT in result.columns:
        words = {word.strip().lower(): word for word in distinct(found.columns[result.columns[EVENT]])}
        for word in sorted(set(words) - set(EVENT_KINDS)):
            result.events[word] = likely_kind(words[word]) or "ignore"
        return
    for source in result.rest(found.names):
        kind = likely_kind(source)
        if kind and kind not in result.flags and is_flag(found.columns[source]):
            result.flags[kind], result.why[f"flags.{kind}"] = source, "only yes and no stand in it"
    if value and value.lower().endswith("ms"):
        result.settings["value_scale"], result.why["value_scale"] = (
            0.001,
            "milliseconds by its name; value is in seconds",
        )
    if result.flags:
        if value and "view" not in result.flags and _LASTING.search(value.lower()):
            result.flags["view"], result.why["flags.view"] = value, "time above 0 was spent"
        return
    if not value or not (_RATINGS.search(value.lower()) or (value.isdigit() and _are_marks(found.columns[value]))):
        result.constants[EVENT] = "view"
        result.why[EVENT] = "no column tells what happened: every row counts as one view"
        return
    lowest = min((float(cell.replace(",", ".")) for cell in found.columns[value] if cell), default=1.0)
    if lowest > 0:
        result.constants[EVENT], result.why[EVENT] = "rating", "every row has a rating"
        return
    result.flags["rating"], result.why["flags.rating"] = value, f"a rating of {lowest:g} seems to mean none"
    result.settings["otherwise"], result.why["otherwise"] = "view", "rows without a rating still met the item"
    result.missing[VALUE] = [f"{lowest:g}"]
