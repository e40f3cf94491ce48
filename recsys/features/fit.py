"""Fits a spec and a text model on training rows alone."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import JsonValue

from recsys.config import FeaturesConfig
from recsys.features.dataset import category_names
from recsys.features.encode import labels, raw_numeric, texts
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

    Ages of items count at `as_of`, by default at the last training event.
    """
    known_items = items.filter(pl.col(ITEM_ID).is_in(train[ITEM_ID].unique().implode()))
    known_users = users.filter(pl.col(USER_ID).is_in(train[USER_ID].unique().implode()))
    as_of = as_of or _end(train)
    raw = raw_numeric(known_items, as_of)
    return FeatureSpec(
        item_vocab=_frequent(train[ITEM_ID], config.min_item_events),
        user_vocab=_frequent(train[USER_ID], config.min_user_events),
        category_vocab=_distinct(category_names(known_items).explode().to_list()),
        creator_vocab=_distinct(known_items[CREATOR].to_list()),
        language_vocab=_distinct(known_items[LANGUAGE].to_list()),
        device_vocab=_distinct(train[DEVICE].to_list()),
        demographic_vocabs={
            name: _distinct(labels(known_users, name)) for name in config.user_columns if name in known_users.columns
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
    """Return the text model of the items that training users met or that were published by the end of train."""
    met = pl.col(ITEM_ID).is_in(train[ITEM_ID].unique().implode())
    items = items.filter(met | (pl.col(PUBLISHED_AT) <= _end(train)))
    return TextModel.fit(texts(items), config.text_dim, taste_vectors(train, items, config.text_dim // 2))


def _end(train: pl.DataFrame) -> datetime:
    last: datetime = train.select(pl.col(TIMESTAMP).max()).item()
    return last


def _frequent(ids: pl.Series, at_least: int) -> list[str]:
    counts = ids.value_counts(sort=False)
    return counts.filter(pl.col("count") >= at_least)[ids.name].sort().to_list()


def _distinct(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value is not None})


def _spread(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    spread = 0.0 if np.isnan(column).all() else float(np.nanstd(column))
    return spread if spread > 1e-6 else 1.0
