"""Tables to arrays under a spec: the same code for training, an older champion and an item published a minute ago."""

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.features.dataset import ItemArrays, UserArrays, category_names
from recsys.features.spec import FeatureSpec, encode
from recsys.features.strings import StringColumn
from recsys.features.text import TextModel
from recsys.schema import (
    CREATOR,
    DESCRIPTION,
    DURATION_S,
    EXPIRES_AT,
    ITEM_ID,
    LANGUAGE,
    PUBLISHED_AT,
    TITLE,
    USER_ID,
)

_SECONDS_PER_DAY = 86_400
_ROWS = 65_536  # items whose texts are worked on at a time: about 50 MB


def encode_items(spec: FeatureSpec, text_model: TextModel, items: pl.DataFrame) -> ItemArrays:
    """Return item arrays of an items table in its row order; `train_count` is 0 (`frames_to_dataset` fills it in)."""
    names = category_names(items)
    categories = np.zeros((len(items), spec.max_categories), np.int32)
    codes = {name: code for code, name in enumerate(spec.category_vocab, 1)}
    for start in range(0, len(items), _ROWS):
        for row, own in enumerate(names.slice(start, _ROWS).to_list(), start):
            places = [codes[name] for name in dict.fromkeys(own) if name in codes][: spec.max_categories]
            categories[row, : len(places)] = places
    raw = raw_numeric(items, datetime.fromisoformat(spec.as_of))
    missing = np.isnan(raw)
    scaled = np.where(missing, 0.0, (raw - np.array(spec.numeric_means)) / np.array(spec.numeric_stds))
    return ItemArrays(
        ids=StringColumn(items[ITEM_ID]),
        titles=StringColumn(items[TITLE]),
        category_names=names,
        vocab=encode(items[ITEM_ID].to_list(), spec.item_vocab),
        categories=categories,
        creator=encode(items[CREATOR].to_list(), spec.creator_vocab),
        language=encode(items[LANGUAGE].to_list(), spec.language_vocab),
        text=_text_vectors(text_model, items),
        numeric=np.hstack([scaled, missing]).astype(np.float32),
        published_at=_epoch_seconds(items[PUBLISHED_AT]),
        expires_at=_expiry_seconds(items[EXPIRES_AT]),
        train_count=np.zeros(len(items), np.int64),
    )


def _text_vectors(text_model: TextModel, items: pl.DataFrame) -> NDArray[np.float32]:
    """Return float32[n, T]; only some items' texts and word counts are in memory at a time."""
    parts = [text_model.transform(texts(items.slice(start, _ROWS))) for start in range(0, max(len(items), 1), _ROWS)]
    return np.concatenate(parts)


def encode_users(spec: FeatureSpec, users: pl.DataFrame) -> UserArrays:
    """Return user arrays of a users table in its row order; a column the table lacks is unknown for everybody."""
    columns = [
        encode(labels(users, name), vocabulary) if name in users.columns else np.zeros(len(users), np.int32)
        for name, vocabulary in spec.demographic_vocabs.items()
    ]
    demographics = np.column_stack(columns) if columns else np.zeros((len(users), 0), np.int32)
    ids = users[USER_ID]
    return UserArrays(StringColumn(ids), encode(ids.to_list(), spec.user_vocab), demographics.astype(np.int32))


def labels(frame: pl.DataFrame, column: str) -> list[str | None]:
    """Return a column as labels; None where it is missing."""
    return frame[column].cast(pl.String).to_list()


def texts(items: pl.DataFrame) -> list[str]:
    """Return each item's title, description, categories and creator, a name being one word, as one text."""
    pieces = items.select(
        pl.concat_str(
            TITLE,
            DESCRIPTION,
            pl.lit("by_") + pl.col(CREATOR).str.replace_all(r"\W+", "_"),
            separator=" ",
            ignore_nulls=True,
        )
    ).to_series()
    names = category_names(items).list.join(" ")
    return [f"{text} {joined}" for text, joined in zip(pieces.to_list(), names.to_list(), strict=True)]


def raw_numeric(items: pl.DataFrame, as_of: datetime) -> NDArray[np.float64]:
    """Return float64[n, 2]: log(1 + age in days at `as_of`), log(1 + duration in seconds); NaN if not finite."""
    published = _epoch_seconds(items[PUBLISHED_AT]).astype(np.float64)
    age_days = np.maximum(as_of.timestamp() - published, 0) / _SECONDS_PER_DAY
    age_days[items[PUBLISHED_AT].is_null().to_numpy()] = np.nan
    duration = items[DURATION_S].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    logs: NDArray[np.float64] = np.log1p(np.column_stack([age_days, np.maximum(duration, 0)]))
    return np.where(np.isfinite(logs), logs, np.nan)


def _epoch_seconds(column: pl.Series) -> NDArray[np.int64]:
    return column.dt.epoch("s").fill_null(0).to_numpy().astype(np.int64)


def _expiry_seconds(column: pl.Series) -> NDArray[np.int64]:
    """Return 0 for an item that never expires; one that expired in 1970's first second did so a second earlier."""
    seconds = column.dt.epoch("s")
    return seconds.replace(0, -1).fill_null(0).to_numpy().astype(np.int64)
