"""What other people call the kinds of events, and what to say of a word that is none."""

import re
from difflib import get_close_matches
from typing import Final

import polars as pl

from recsys.schema import EVENT_KINDS, EventKind

_WORDS: Final[dict[EventKind, str]] = {
    "impression": "impress shown show display exposure exposed seen serve recommended",
    "view": "views viewed pageview detail play played watch watched stream streamed listen listened read pv",
    "click": "clicked clicks open opened tap select selected clickout",
    "like": "liked thumbsup upvote favourite_on love heart positive",
    "dislike": "disliked thumbsdown downvote hate negative hide block skip",
    "share": "shared forward forwarded retweet repost",
    "save": "saved favourite favorite fav bookmark bookmarked wishlist addtowishlist addtolist watchlater follow",
    "rating": "rate rated ratings review reviewed stars",
    "add_to_cart": "addtocart cart addcart basket addtobasket addedtocart carted",
    "purchase": "purchased buy bought order ordered transaction checkout conversion pay payment sale",
}
_KINDS: Final = {re.sub("[^a-z]", "", word): kind for kind, words in _WORDS.items() for word in (kind, *words.split())}
_MOST: Final = 10  # words that are told; more than twice as many are no kinds of events
_LIKE_AN_ID: Final = re.compile(r".{41,}|.*@.*|.*\d{4}.*|[0-9a-f-]{12,}", re.DOTALL)


def likely_kind(word: str) -> EventKind | None:
    """Return the kind of event that a word of another system most likely means; None for no idea.

    >>> likely_kind("addToCart"), likely_kind("Transactions"), likely_kind("logout")
    ('add_to_cart', 'purchase', None)
    """
    folded = re.sub("[^a-z]", "", re.sub("^(is|has|was)(?=[_ A-Z])", "", word).lower())
    close = get_close_matches(folded, list(_KINDS), 1, 0.85) if folded else []
    return _KINDS[close[0]] if close else None


def unknown_words(events: pl.Series) -> str:
    """Return what to tell a person of the kinds in `events` that the contract lacks, with counts; empty if none.

    Words that may be ids are not repeated.
    """
    counts = events.drop_nulls().cast(pl.String).value_counts(sort=True)
    counts.columns = ["word", "n"]
    unknown = counts.filter(~pl.col("word").is_in(EVENT_KINDS)).sort("n", "word", descending=[True, False])
    if unknown.is_empty():
        return ""
    words = unknown["word"].to_list()
    if len(words) > 2 * _MOST or any(_LIKE_AN_ID.fullmatch(word) for word in words):
        return f"{len(words)} different words are no kind of event: is the column for event the right one?"
    told = ", ".join(f"{word!r} {n}" for word, n in unknown.head(_MOST).iter_rows())
    pairs = ", ".join(f'{_key(word)} = "{likely_kind(word) or "ignore"}"' for word in words[:_MOST])
    return (
        f"events that are no kind: {told}; say what they are, such as source.interactions.events = {{ {pairs} }} "
        f"(one of {', '.join(EVENT_KINDS)}, or ignore)"
    )


def _key(word: str) -> str:
    plain = re.fullmatch(r"[\w-]+", word, re.ASCII)
    return word if plain else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
