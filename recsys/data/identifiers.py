"""What ids of two tables look like where none of the one is in the other: forms for users, examples for items."""

from typing import Final

import polars as pl

_SAMPLE: Final = 1000
_MAX_FORM: Final = 40


def form_of(text: str) -> str:
    """Return the form of a value that must not be shown: 9 for a digit, a for a letter, punctuation as it is."""
    form = "".join(map(_kind, text[:_MAX_FORM]))
    return f"{form!r}{'...' if len(text) > _MAX_FORM else ''}"


def usual_form(ids: pl.Series) -> str:
    """Return the most frequent form among the first distinct ids; the first in their order in a tie."""
    sample = ids.drop_nulls().unique(maintain_order=True).head(_SAMPLE)
    forms = [form_of(one) for one in sample.to_list()]
    return max(dict.fromkeys(forms), key=forms.count, default="none")


def strangers(named: pl.Series, known: pl.Series) -> str:
    """Say, for ids that may be shown, that none of those named is known; "" where one is or either has none."""
    named, known = named.drop_nulls(), known.drop_nulls()
    if named.is_empty() or known.is_empty() or named.is_in(known.unique().implode()).any():
        return ""
    return (
        f"no {named.name} of interactions is in items: {named.min()!r} there, {known.min()!r} here; write them alike, "
        "or leave source.items out"
    )


def _kind(one: str) -> str:
    if one.isdigit():
        return "9"
    return one if one.isascii() and not one.isalpha() else "a"
