"""Datasets of any size made directly as training arrays: items by Zipf's law, sessions, a split by time.

Nothing here is learnable: only sizes, skew and order matter for what a training costs.
"""

import numpy as np
import polars as pl

from recsys.features import Dataset, StringColumn
from recsys.features.dataset import EventArrays, ItemArrays, UserArrays
from recsys.features.spec import FeatureSpec
from recsys.features.text import TextModel
from recsys.schema import CATEGORIES, ITEM_ID, TITLE, USER_ID

_EVENTS_PER_USER = 50
_SPREAD = 1.0  # standard deviation of the log of a user's number of events
_EVENTS_PER_SESSION = 8
_SESSION_GAP_S, _EVENT_GAP_S = 2 * 86_400.0, 120.0
_PERIOD_S = 365 * 86_400
_ZIPF = 1.0  # the r-th most popular item is met 1 / r as often as the first
_N_CATEGORIES, _MAX_CATEGORIES, _ITEMS_PER_CREATOR, _N_LANGUAGES = 40, 6, 20, 5
_TEXT_DIM, _NUMERIC_DIM = 32, 4
_KIND = 2  # view


def synthetic(n_events: int, n_items: int, seed: int = 0) -> Dataset:
    """Return a dataset of about `n_events` positive events, a tenth each in validation and test."""
    generator = np.random.default_rng(seed)
    items, users = _items(n_items, generator), _users(max(1, n_events // _EVENTS_PER_USER), generator)
    events = _events(n_events, len(users.ids), n_items, generator)
    counts = np.bincount(events.item[events.split == 0], minlength=n_items)
    return Dataset(
        spec=_spec(items, users),
        text_model=TextModel.fit([], _TEXT_DIM),
        items=ItemArrays(**{**vars(items), "train_count": counts}),
        users=users,
        events=events,
        items_table=pl.LazyFrame(
            {
                ITEM_ID: items.ids.to_series(),
                TITLE: items.titles.to_series(),
                CATEGORIES: pl.Series([[]] * n_items, dtype=pl.List(pl.String)),
            }
        ),
        users_frame=pl.DataFrame({USER_ID: users.ids.to_series()}),
    )


def _items(n: int, generator: np.random.Generator) -> ItemArrays:
    text = generator.normal(size=(n, _TEXT_DIM)).astype(np.float32)
    categories = generator.integers(1, _N_CATEGORIES + 1, (n, _MAX_CATEGORIES), np.int32)
    categories[np.arange(_MAX_CATEGORIES) >= generator.integers(1, 4, (n, 1))] = 0
    return ItemArrays(
        ids=StringColumn.of(_names("i", n)),
        titles=StringColumn(pl.repeat("", n, eager=True)),
        category_names=pl.Series([[]] * n, dtype=pl.List(pl.String)),
        vocab=np.arange(1, n + 1, dtype=np.int32),
        categories=categories,
        creator=generator.integers(1, n // _ITEMS_PER_CREATOR + 2, n, np.int32),
        language=generator.integers(1, _N_LANGUAGES + 1, n, np.int32),
        text=text / np.linalg.norm(text, axis=1, keepdims=True),
        numeric=generator.normal(size=(n, _NUMERIC_DIM)).astype(np.float32),
        published_at=np.zeros(n, np.int64),
        expires_at=np.zeros(n, np.int64),
        train_count=np.zeros(n, np.int64),
    )


def _users(n: int, generator: np.random.Generator) -> UserArrays:
    demographics = np.column_stack([generator.integers(0, k, n, np.int32) for k in _DEMOGRAPHICS.values()])
    return UserArrays(StringColumn.of(_names("u", n)), np.arange(1, n + 1, dtype=np.int32), demographics)


def _events(n: int, n_users: int, n_items: int, generator: np.random.Generator) -> EventArrays:
    activity = generator.lognormal(0.0, _SPREAD, n_users)
    sizes = np.maximum(1, np.round(activity / activity.sum() * n).astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    n = int(offsets[-1])
    popularity = np.cumsum(1.0 / np.arange(1, n_items + 1) ** _ZIPF)
    ranks = np.searchsorted(popularity, generator.random(n) * popularity[-1])
    starts = generator.random(n) < 1.0 / _EVENTS_PER_SESSION
    elapsed = np.cumsum(generator.exponential(size=n) * np.where(starts, _SESSION_GAP_S, _EVENT_GAP_S))
    since = elapsed - np.repeat(elapsed[offsets[:-1]], sizes)
    span = since[offsets[1:] - 1]
    first = generator.random(n_users) * _PERIOD_S
    seconds = np.repeat(first, sizes) + since * np.repeat(np.minimum(1.0, _PERIOD_S / np.maximum(span, 1)), sizes)
    validation, test = np.quantile(seconds[:: max(1, n // 1_000_000)], [0.8, 0.9])
    return EventArrays(
        item=generator.permutation(n_items).astype(np.int32)[ranks],
        kind=np.full(n, _KIND, np.int8),
        weight=np.ones(n, np.float32),
        timestamp=seconds.astype(np.int64),
        device=generator.integers(1, 4, n, np.int32),
        positive=np.ones(n, bool),
        split=((seconds >= validation).astype(np.int8) + (seconds >= test)).astype(np.int8),
        offsets=offsets,
    )


_DEMOGRAPHICS = {"age": 8, "gender": 4}


def _spec(items: ItemArrays, users: UserArrays) -> FeatureSpec:
    def numbered(n: int) -> list[str]:
        return [str(place) for place in range(n)]

    return FeatureSpec(
        item_vocab=items.ids.tolist(),
        user_vocab=users.ids.tolist(),
        category_vocab=numbered(_N_CATEGORIES),
        creator_vocab=numbered(int(items.creator.max())),
        language_vocab=numbered(_N_LANGUAGES),
        device_vocab=numbered(3),
        demographic_vocabs={name: numbered(k - 1) for name, k in _DEMOGRAPHICS.items()},
        numeric_means=[0.0, 0.0],
        numeric_stds=[1.0, 1.0],
        text_dim=_TEXT_DIM,
        max_categories=_MAX_CATEGORIES,
        validation_start="1970-10-20T00:00:00+00:00",
        test_start="1970-11-25T00:00:00+00:00",
        as_of="1971-01-01T00:00:00+00:00",
    )


def _names(letter: str, n: int) -> list[str]:
    return [f"{letter}{row:08d}" for row in range(n)]
