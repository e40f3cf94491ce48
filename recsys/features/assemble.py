"""The last steps to a training set, shared by every way to split: whole tables, row numbers, arrays."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import JsonValue

from recsys.config import FeaturesConfig
from recsys.features.dataset import Dataset, EventArrays
from recsys.features.encode import encode_items, encode_users
from recsys.features.events import ITEM_ROW, KIND, POSITIVE, USER_ROW
from recsys.features.fit import fit_spec, fit_text
from recsys.features.spec import FeatureSpec, encode
from recsys.features.split import SPLIT, TRAIN
from recsys.schema import DEVICE, EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID, WEIGHT


def assemble(
    config: FeaturesConfig,
    events: pl.DataFrame,
    users: pl.DataFrame,
    items: pl.DataFrame,
    *,
    cutoffs: tuple[datetime, datetime],
    as_of: datetime | None,
    info: dict[str, JsonValue],
    newcomers: np.ndarray[tuple[int], np.dtype[np.int8]] | None = None,
) -> Dataset:
    """Return the training set of merged, split and sorted events and the complete tables their rows point into.

    Vocabularies, normalisation and text vectors are fitted on train alone. Newcomers are no part of the text fit and
    count as published after train, whatever their date says about them as content.
    """
    train = events.filter(pl.col(POSITIVE) & (pl.col(SPLIT) == TRAIN))
    spec = fit_spec(config, train, users, items, cutoffs=cutoffs, as_of=as_of, info=info)
    known = items.with_row_index(ITEM_ROW)
    text_model = fit_text(config, train, known if newcomers is None else known.filter(pl.Series(newcomers == 0)))
    del train, known
    arrays = _event_arrays(events, len(users), spec)
    counts = np.bincount(arrays.item[arrays.positive & (arrays.split == TRAIN)], minlength=len(items))
    encoded = replace(encode_items(spec, text_model, items), train_count=counts.astype(np.int64))
    if newcomers is not None:
        after = int(arrays.timestamp[arrays.split == TRAIN].max()) + 1
        encoded = replace(encoded, published_at=np.where(newcomers > 0, after, encoded.published_at))
    return Dataset(spec, text_model, encoded, encode_users(spec, users), arrays, items.lazy(), users, newcomers)


def complete(table: pl.DataFrame, schema: dict[str, pl.DataType], key: str, named: pl.Series) -> pl.DataFrame:
    """Add a row for every id the events name and the table lacks; one row per id, the last, sorted by id."""
    known = table.unique(key, keep="last", maintain_order=True) if table.width else pl.DataFrame(schema=schema)
    lacking = named.unique().to_frame(key).join(known.select(key), on=key, how="anti")
    return pl.concat([known, lacking], how="diagonal").sort(key)


def with_rows(events: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return events with numbers for texts, which sort as the texts do, much faster and in a fraction of the memory.

    Ids of users and items become row numbers of `users` and `items`, ids of events their ranks; devices stand as an
    enumeration.
    """
    for table, key, row in ((users, USER_ID, USER_ROW), (items, ITEM_ID, ITEM_ROW)):
        rows = table.select(key).with_row_index(row)
        events = events.join(rows, on=key, how="left", maintain_order="left").drop(key)
    devices = pl.Enum(events[DEVICE].unique().drop_nulls().sort())
    return events.with_columns(pl.col(EVENT_ID).rank("dense"), pl.col(DEVICE).cast(devices))


def _event_arrays(events: pl.DataFrame, n_users: int, spec: FeatureSpec) -> EventArrays:
    counts = np.bincount(events[USER_ROW].to_numpy(), minlength=n_users)
    devices = events.select(pl.col(DEVICE).unique().drop_nulls()).to_series()
    codes = encode(devices.cast(pl.String).to_list(), spec.device_vocab)
    device = events[DEVICE].replace_strict(devices, codes, default=0, return_dtype=pl.Int32)
    return EventArrays(
        item=events[ITEM_ROW].to_numpy().astype(np.int32),
        kind=events[KIND].to_numpy().astype(np.int8),
        weight=events[WEIGHT].to_numpy().astype(np.float32),
        timestamp=events[TIMESTAMP].dt.epoch("s").to_numpy().astype(np.int64),
        device=device.fill_null(0).to_numpy().astype(np.int32),
        positive=events[POSITIVE].to_numpy(),
        split=events[SPLIT].to_numpy().astype(np.int8),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )
