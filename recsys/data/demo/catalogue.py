"""The demo world's items: what they are about, who made them, when they are there."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.config import DemoSource
from recsys.data.demo.population import moments
from recsys.data.demo.topics import ADJECTIVES, LANGUAGES, TOPICS
from recsys.schema import (
    CATEGORIES,
    CREATOR,
    DESCRIPTION,
    DURATION_S,
    EXPIRES_AT,
    ITEM_ID,
    ITEMS,
    LANGUAGE,
    PUBLISHED_AT,
    TITLE,
)

_BEFORE_START = 0.6  # share of items published before the world's first day
_N_CREATORS = 60
_MAIN, _SECOND = 0.75, 0.25  # how much of an item its topics are
_DAY_S = 86_400


@dataclass(frozen=True)
class Catalogue:
    """Item rows in id order; `topics` float32[n, n_topics] sum to about 1, `appeal` is a log popularity."""

    frame: pl.DataFrame
    topics: NDArray[np.float32]
    appeal: NDArray[np.float32]
    published_s: NDArray[np.int64]
    expires_s: NDArray[np.int64]
    duration_s: NDArray[np.float64]


def stock(settings: DemoSource, start: datetime) -> Catalogue:
    """Draw the items of the world; the same settings give the same items."""
    random = np.random.default_rng([settings.seed, 2])
    n, names = settings.n_items, list(TOPICS)
    creator = random.integers(0, _N_CREATORS, n)
    main = np.where(random.random(n) < 0.7, creator % len(names), random.integers(0, len(names), n))
    second = random.integers(0, len(names), n)
    topics = np.zeros((n, len(names)), np.float32)
    np.add.at(topics, (np.arange(n), main), _MAIN)
    np.add.at(topics, (np.arange(n), second), _SECOND)
    star = random.normal(0, 0.5, _N_CREATORS)
    fresh_s = (random.uniform(0, settings.days, n) * _DAY_S).astype(np.int64)
    early = random.random(n) < _BEFORE_START
    published = np.where(early, -(random.uniform(0.1, 120, n) * _DAY_S).astype(np.int64), fresh_s)
    expires = np.where(random.random(n) < 0.1, published + 30 * _DAY_S, np.iinfo(np.int64).max // 10**7)
    duration = np.round(random.lognormal(5.2, 0.8, n), 1)
    words = [list(TOPICS[name]) for name in names]
    picks, adjectives = random.integers(0, 6, (n, 5)), random.integers(0, len(ADJECTIVES), n)
    frame = pl.DataFrame(
        {
            ITEM_ID: [f"i{number:06d}" for number in range(n)],
            TITLE: [
                f"{ADJECTIVES[adjectives[i]]} {words[main[i]][picks[i, 0]]} {words[main[i]][picks[i, 1]]} {i}"
                for i in range(n)
            ],
            DESCRIPTION: [
                f"About {words[main[i]][picks[i, 2]]}, {words[main[i]][picks[i, 3]]} "
                f"and {words[second[i]][picks[i, 4]]}."
                for i in range(n)
            ],
            CATEGORIES: [sorted({names[main[i]], names[second[i]]}) for i in range(n)],
            CREATOR: [f"studio-{number:02d}" for number in creator],
            LANGUAGE: random.choice(LANGUAGES, n, p=[0.7, 0.1, 0.1, 0.1]),
            PUBLISHED_AT: moments(start, published),
            EXPIRES_AT: moments(start, np.where(expires > 10**11, 0, expires)).zip_with(
                pl.Series(expires < 10**11), pl.Series([None] * n, dtype=pl.Datetime("us", "UTC"))
            ),
            DURATION_S: duration,
        },
        schema=ITEMS,
    )
    appeal = (random.normal(0, 0.7, n) + star[creator]).astype(np.float32)
    return Catalogue(frame, topics, appeal, published, expires, duration)
