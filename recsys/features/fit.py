"""Fits a spec and a text model on training rows alone."""

from datetime import datetime

import numpy as np
import polars as pl
from pydantic import JsonValue

from recsys.config import FeaturesConfig
from recsys.features.dataset import category_names
from recsys.features.encode import raw_numeric, texts
from recsys.features.events import ITEM_ROW, USER_ROW
from recsys.features.spec import FeatureSpec
from recsys.features.tastes import taste_vectors
from recsys.features.text import TextModel
from recsys.schema import CREATOR, DEVICE, ITEM_ID, LANGUAGE, PUBLISHED_AT, TIMESTAMP, USER_ID


def fit_spec(
    config: FeaturesConfig,
    train: pl.DataFrame,
    users: pl.DataFrame,
    items: pl.DataFrame,
    *,
    cutoffs: tuple[datetime, datetime],
    as_of: datetime | None,
    info: dict[str, JsonValue],
) -> FeatureSpec:
    """Return the spec of positive training events `train`; rare users and items get no id of their own.

    Events hold the row numbers of `users` and `items`, which are sorted by id.
    Ages of items count at `as_of`, by default at the last training event.
    """
    known_items, known_users = items[train[ITEM_ROW].unique().sort()], users[train[USER_ROW].unique().sort()]
    as_of = as_of or _end(train)
    raw = raw_numeric(known_items, as_of)
    return FeatureSpec(
        item_vocab=_frequent(train[ITEM_ROW], items[ITEM_ID], config.min_item_events),
        user_vocab=_frequent(train[USER_ROW], users[USER_ID], config.min_user_events),
        category_vocab=_distinct(category_names(known_items).explode()),
        creator_vocab=_distinct(known_items[CREATOR]),
        language_vocab=_distinct(known_items[LANGUAGE]),
        device_vocab=_distinct(train[DEVICE]),
        demographic_vocabs={
            name: _distinct(known_users[name]) for name in config.user_columns if name in known_users.columns
        },
        numeric_means=[float(np.nanmean(column)) if not np.isnan(column).all() else 0.0 for column in raw.T],
        numeric_stds=[_spread(column) for column in raw.T],
        text_dim=config.text_dim,
        max_categories=config.max_categories,
        validation_start=cutoffs[0].isoformat(),
        test_start=cutoffs[1].isoformat(),
        as_of=as_of.isoformat(),
        info=info,
    )


def fit_text(config: FeaturesConfig, train: pl.DataFrame, items: pl.DataFrame) -> TextModel:
    """Return the text model of the items that training users met or that were published by the end of train.

    `items` hold the row numbers by which events name them.
    """
    met = pl.col(ITEM_ROW).is_in(train[ITEM_ROW].unique().implode())
    items = items.filter(met | (pl.col(PUBLISHED_AT) <= _end(train)))
    return TextModel.fit(texts(items), config.text_dim, taste_vectors(train, items[ITEM_ROW], config.text_dim // 2))


def _end(train: pl.DataFrame) -> datetime:
    last: datetime = train.select(pl.col(TIMESTAMP).max()).item()
    return last


def _frequent(rows: pl.Series, ids: pl.Series, at_least: int) -> list[str]:
    counts = pl.Series(np.bincount(rows.to_numpy(), minlength=len(ids)))
    return ids.filter(counts >= max(at_least, 1)).sort().to_list()


def _distinct(values: pl.Series) -> list[str]:
    return sorted(values.unique().drop_nulls().cast(pl.String).unique().to_list())


def _spread(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    spread = 0.0 if np.isnan(column).all() else float(np.nanstd(column))
    return spread if spread > 1e-6 else 1.0
