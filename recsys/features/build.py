"""From tables to a training set, published once per input."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl

from recsys.config import Config, FeaturesConfig
from recsys.data import read_table
from recsys.features.dataset import Dataset, EventArrays
from recsys.features.encode import encode_items, encode_users
from recsys.features.events import KIND, POSITIVE, evidence
from recsys.features.fit import fit_spec, fit_text
from recsys.features.spec import FeatureSpec, encode
from recsys.features.split import SPLIT, TRAIN, cutoffs_of, with_split
from recsys.features.text import TextModel
from recsys.schema import DEVICE, ITEM_ID, ITEMS, PRIVATE_USERS, TIMESTAMP, USER_ID, WEIGHT
from recsys.storage import current, digest_of, join, local_path, publish, verify

_ROW = "row"


def build_features(config: Config, dataset_uri: str) -> str:
    """Build and publish the training set of a dataset; what was built before from equal input is returned as it is."""
    key = digest_of({"dataset": dataset_uri.rsplit("/", 1)[-1], "features": config.features.model_dump(mode="json")})
    base = join(config.storage, "features", key)
    if uri := current(base):
        verify(uri)
        return uri
    tables = {name: read_table(dataset_uri, name).collect() for name in ("interactions", "users", "items")}
    dataset = frames_to_dataset(config.features, tables["interactions"], tables["users"], tables["items"])
    with publish(base, {"dataset": dataset_uri.rsplit("/", 1)[-1]}) as publication:
        dataset.save(publication.path)
    return publication.uri


def load_dataset(uri: str) -> Dataset:
    """Open a published training set."""
    return Dataset.load(local_path(uri))


def frames_to_dataset(
    config: FeaturesConfig,
    interactions: pl.DataFrame,
    users: pl.DataFrame,
    items: pl.DataFrame,
    cutoffs: tuple[datetime, datetime] | None = None,
) -> Dataset:
    """Return the training set of three tables; `cutoffs` are the starts of validation and test, else by share.

    Raises DataError when there is no positive event or a split is empty.
    """
    events = evidence(interactions, config)
    chosen = cutoffs or cutoffs_of(events.filter(POSITIVE), config)
    events = with_split(events, POSITIVE, chosen)
    users = _complete(users, PRIVATE_USERS, USER_ID, events[USER_ID])
    items = _complete(items, ITEMS, ITEM_ID, events[ITEM_ID])
    train = events.filter(pl.col(POSITIVE) & (pl.col(SPLIT) == TRAIN))
    spec = fit_spec(config, train, users, items, chosen, {"n_read": len(interactions), "n_events": len(events)})
    text_model = fit_text(config, train, items)
    arrays = _event_arrays(events, users, items, spec)
    counts = np.bincount(arrays.item[arrays.positive & (arrays.split == TRAIN)], minlength=len(items))
    encoded = replace(encode_items(spec, text_model, items), train_count=counts.astype(np.int64))
    return Dataset(spec, text_model, encoded, encode_users(spec, users), arrays, items, users)


def reindex(dataset: Dataset, spec: FeatureSpec, text_model: TextModel) -> Dataset:
    """Return the same rows encoded under another spec, so that an older champion's towers can be measured on them."""
    items = replace(encode_items(spec, text_model, dataset.items_frame), train_count=dataset.items.train_count)
    labels = np.array([0, *encode(dataset.spec.device_vocab, spec.device_vocab)], np.int32)
    events = replace(dataset.events, device=labels[np.asarray(dataset.events.device)])
    users = encode_users(spec, dataset.users_frame)
    return replace(dataset, spec=spec, text_model=text_model, items=items, users=users, events=events)


def _complete(table: pl.DataFrame, schema: dict[str, pl.DataType], key: str, named: pl.Series) -> pl.DataFrame:
    """Add a row for every id the events name and the table lacks; sort by id."""
    known = table if table.width else pl.DataFrame(schema=schema)
    lacking = named.unique().to_frame(key).join(known.select(key), on=key, how="anti")
    return pl.concat([known, lacking], how="diagonal").sort(key)


def _event_arrays(events: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame, spec: FeatureSpec) -> EventArrays:
    rows = events.join(items.select(ITEM_ID).with_row_index(_ROW), on=ITEM_ID, how="left", maintain_order="left")
    owners = events.join(users.select(USER_ID).with_row_index(_ROW), on=USER_ID, how="left", maintain_order="left")
    counts = np.bincount(owners[_ROW].to_numpy(), minlength=len(users))
    devices = pl.DataFrame({DEVICE: spec.device_vocab, "code": range(1, len(spec.device_vocab) + 1)}).cast(
        {DEVICE: pl.String, "code": pl.Int32}
    )
    device = events.select(DEVICE).join(devices, on=DEVICE, how="left", maintain_order="left")["code"].fill_null(0)
    return EventArrays(
        item=rows[_ROW].to_numpy().astype(np.int32),
        kind=events[KIND].to_numpy().astype(np.int8),
        weight=events[WEIGHT].to_numpy().astype(np.float32),
        timestamp=events[TIMESTAMP].dt.epoch("s").to_numpy().astype(np.int64),
        device=device.to_numpy().astype(np.int32),
        positive=events[POSITIVE].to_numpy(),
        split=events[SPLIT].to_numpy().astype(np.int8),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )
