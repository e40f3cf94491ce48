"""Events as arrays: two frames encoded once, so that each comparison is a matter of masks."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys import schema
from recsys.config import Config
from recsys.features import StringColumn, positive
from recsys.monitoring.statistics import Floats

Bools = NDArray[np.bool_]
Codes = NDArray[np.int32]
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Observations:
    """One row per event of the reference and the fresh window together; `fresh` tells them apart.

    `seconds` is the value of views, else NaN. `segments` int32[n, n_columns] are demographic codes. By item code:
    `categories` counts [n_items, n_categories] and unit `vectors` float64[n_items, d], zero where there is none.
    """

    fresh: Bools
    timestamp: NDArray[np.int64]
    user: Codes
    item: Codes
    kind: Codes
    hour: Codes
    positive: Bools
    seconds: Floats
    segments: Codes
    segment_columns: tuple[str, ...]
    categories: csr_array
    vectors: Floats


def join_context(interactions: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return one row per event with its user's columns and its item's categories and duration; else null."""
    kept = [column for column in users.columns if column not in interactions.columns or column == schema.USER_ID]
    told = [name for name in (schema.ITEM_ID, schema.CATEGORIES, schema.DURATION_S) if name in items.columns]
    return interactions.join(
        users.select(kept).unique(schema.USER_ID, keep="last", maintain_order=True), on=schema.USER_ID, how="left"
    ).join(
        items.select(told).unique(schema.ITEM_ID, keep="last", maintain_order=True),
        on=schema.ITEM_ID,
        how="left",
    )


def observe(
    config: Config,
    reference: pl.DataFrame,
    fresh: pl.DataFrame,
    item_ids: StringColumn,
    item_vectors: NDArray[np.float32],
) -> Observations:
    """Encode two frames made by `join_context`; `item_ids` [m] name the rows of `item_vectors` [m, d]."""
    if len(item_ids) != item_vectors.shape[0]:
        raise ValueError(f"item_vectors must have {len(item_ids)} rows (item_ids); got {item_vectors.shape[0]}")
    columns = tuple(c for c in config.features.user_columns if c in reference.columns and c in fresh.columns)
    needed = [schema.USER_ID, schema.ITEM_ID, schema.EVENT, schema.TIMESTAMP, schema.CATEGORIES, *columns]
    numbers = [schema.VALUE, *([schema.DURATION_S] if schema.DURATION_S in reference.columns else [])]
    events = pl.concat(
        [
            frame.select(*needed, *(_number(frame, name) for name in numbers)).with_columns(_utc(frame))
            for frame in (reference, fresh)
        ],
        how="vertical_relaxed",
    )
    item, names = _encode(events[schema.ITEM_ID])
    timestamp = events[schema.TIMESTAMP]
    is_view = (events[schema.EVENT] == "view").fill_null(False).to_numpy()
    values = events[schema.VALUE].fill_null(float("nan")).to_numpy()
    return Observations(
        fresh=np.arange(events.height) >= reference.height,
        timestamp=timestamp.dt.epoch("s").to_numpy().astype(np.int64),
        user=_encode(events[schema.USER_ID])[0],
        item=item,
        kind=_encode(events[schema.EVENT])[0],
        hour=timestamp.dt.hour().to_numpy().astype(np.int32),
        positive=positive(events, config.features).to_numpy(),
        seconds=np.where(is_view, values, np.nan),
        segments=np.stack([_encode(events[column])[0] for column in columns], axis=1)
        if columns
        else np.zeros((events.height, 0), np.int32),
        segment_columns=columns,
        categories=_categories(events, item, len(names)),
        vectors=_vectors(names, item_ids, item_vectors),
    )


def count_positive(config: Config, events: pl.DataFrame) -> int:
    """Return how many events count as taste, as training counts them."""
    return int(positive(events.with_columns(_number(events, schema.VALUE)), config.features).sum())


def _number(frame: pl.DataFrame, name: str) -> pl.Expr:
    return (pl.col(name) if name in frame.columns else pl.lit(None)).cast(pl.Float64).alias(name)


def _utc(frame: pl.DataFrame) -> pl.Expr:
    """Return the times in UTC; those that name no zone are UTC already."""
    time, kind = pl.col(schema.TIMESTAMP), frame.schema[schema.TIMESTAMP]
    zone = kind.time_zone if isinstance(kind, pl.Datetime) else None
    return (time if zone else time.dt.replace_time_zone("UTC")).cast(pl.Datetime("us", "UTC"))


def _encode(column: pl.Series) -> tuple[Codes, pl.Series]:
    texts = column.cast(pl.String).fill_null(_UNKNOWN)
    names = texts.unique().sort()
    codes = texts.cast(pl.Enum(names)).to_physical() if len(names) else pl.Series([], dtype=pl.Int32)
    return codes.to_numpy().astype(np.int32), names


def _categories(events: pl.DataFrame, item: Codes, n_items: int) -> csr_array:
    pairs = (
        events.select(pl.Series("code", item), pl.col(schema.CATEGORIES))
        .unique("code", keep="last", maintain_order=True)
        .explode(schema.CATEGORIES)
        .drop_nulls()
    )
    codes, names = _encode(pairs[schema.CATEGORIES])
    shape = (n_items, max(len(names), 1))
    return csr_array((np.ones(pairs.height), (pairs["code"].to_numpy(), codes)), shape=shape)


def _vectors(names: pl.Series, item_ids: StringColumn, item_vectors: NDArray[np.float32]) -> Floats:
    rows = pl.DataFrame({"name": names}).join(
        pl.DataFrame({"name": item_ids.to_series(), "row": np.arange(len(item_ids))}),
        on="name",
        how="left",
        maintain_order="left",
    )["row"]
    known = rows.is_not_null().to_numpy()
    vectors = np.zeros((len(names), item_vectors.shape[1]))
    vectors[known] = item_vectors[rows.drop_nulls().to_numpy()]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return result
