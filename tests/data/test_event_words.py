"""Words that are no kind of event: told with counts and with what they likely are, unless they may be ids."""

import polars as pl
import pytest

from recsys.data.event_words import likely_kind, unknown_words
from recsys.schema import EVENT_KINDS


@pytest.mark.parametrize(
    ("word", "kind"),
    [("addtocart", "add_to_cart"), ("Add to Cart", "add_to_cart"), ("TRANSACTION", "purchase"), ("play", "view"),
     ("is_like", "like"), ("isClicked", "click"), ("has_bought", "purchase"), ("favourites", "save"), ("logout", None), ("", None), ("123", None)],
)  # fmt: skip
def test_words_of_other_systems_are_likely_kinds(word: str, kind: str | None) -> None:
    assert likely_kind(word) == kind


def test_kinds_are_likely_themselves() -> None:
    assert [likely_kind(kind) for kind in EVENT_KINDS] == list(EVENT_KINDS)


def test_unknown_words_are_told_with_counts_and_a_map() -> None:
    said = unknown_words(pl.Series(["view", "log out", "addtocart", "addtocart", None]))
    assert said.startswith("events that are no kind: 'addtocart' 2, 'log out' 1; ")
    assert 'source.interactions.events = { addtocart = "add_to_cart", "log out" = "ignore" }' in said


def test_nothing_is_told_of_known_words() -> None:
    assert unknown_words(pl.Series([*EVENT_KINDS, None])) == ""


@pytest.mark.parametrize("words", [["a@b.c"], ["u1000"], [f"w{n}" for n in range(21)], ["x" * 41]])
def test_words_that_may_be_ids_are_not_repeated(words: list[str]) -> None:
    said = unknown_words(pl.Series(words))
    assert "no kind of event: is the column for event the right one?" in said
    assert not any(word in said for word in words)
