"""From tables to a training set, published once per input."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
from pydantic import JsonValue, ValidationError

from recsys.config import Config, FeaturesConfig
from recsys.data import is_timed, read_table
from recsys.errors import StorageError
from recsys.features.assemble import assemble, complete, with_rows
from recsys.features.capping import capped
from recsys.features.dataset import Dataset
from recsys.features.encode import encode_items, encode_users
from recsys.features.events import (
    POSITIVE,
    USED,
    by_meeting,
    counted_since,
    evidence,
    first_learned,
    in_time,
    strongest,
)
from recsys.features.holdout import random_holdout
from recsys.features.spec import FeatureSpec, encode
from recsys.features.split import SPLIT, TEST, TRAIN, VALIDATION, after_last, check_split, cutoffs_of, with_split
from recsys.features.text import TextModel
from recsys.features.values import Usual, by_value, usual_values
from recsys.schema import ITEM_ID, ITEMS, PRIVATE_USERS, USER_ID
from recsys.storage import digest_of, intact, join, local_path, publish

_FORMAT = 3  # raise it when equal input gives other arrays than before, so that nothing stale is reused


def build_features(config: Config, dataset_uri: str, *, whole: bool = False) -> str:
    """Build and publish the training set of a dataset; what was built before from equal input is returned as it is.

    With `whole` every day is train: for towers that serve what others have shown.
    """
    source = dataset_uri.rstrip("/").rsplit("/", 1)[-1]
    settings = config.features.model_dump(mode="json")
    key: dict[str, JsonValue] = {
        "dataset": source,
        "features": settings,
        "format": _FORMAT,
        "whole": whole,
    }
    base = join(config.storage, "features", digest_of(key))
    if uri := intact(base):
        return uri
    dataset = frames_to_dataset(
        config.features,
        read_table(dataset_uri, "interactions").select(USED).collect(),  # no name here, so that it is freed there
        read_table(dataset_uri, "users").collect(),
        read_table(dataset_uri, "items").collect(),
        whole=whole,
        timed=is_timed(dataset_uri),
    )
    info = {**key, "fit_days": config.features.fit_days}
    with publish(base, {name: value for name, value in info.items() if name != "features"}) as publication:
        dataset.save(publication.path)
    return publication.uri


def load_dataset(uri: str) -> Dataset:
    """Open a published training set; raise StorageError when it is absent or damaged."""
    with _told_as_damage(uri):
        return Dataset.load(local_path(uri))


def load_spec(uri: str) -> FeatureSpec:
    """Open the spec of a published training set alone; raise StorageError when it is absent or damaged."""
    with _told_as_damage(uri):
        return FeatureSpec.load(local_path(uri))


@contextmanager
def _told_as_damage(uri: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:  # its own text quotes what was read, which may be ids
        detail = error.errors()[0]["msg"]
        raise StorageError(f"cannot read the features {uri}: {detail}; run the features stage again") from None
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"cannot read the features {uri}: {error}; run the features stage again") from error


def frames_to_dataset(
    config: FeaturesConfig,
    interactions: pl.DataFrame,
    users: pl.DataFrame,
    items: pl.DataFrame,
    cutoffs: tuple[datetime, datetime] | None = None,
    *,
    as_of: datetime | None = None,
    whole: bool = False,
    timed: bool = True,
) -> Dataset:
    """Return the training set of three tables; `cutoffs` are the starts of validation and test, else by share.

    With `whole` both lie after the last event, so that all of it is train. Without `timed`, the events' one time says
    nothing and what is held out is drawn at random; see `random_holdout`.

    Ages of items count at `as_of`, by default at the last training event. Equal cutoffs ask for no validation. Raises
    DataError when there is no positive event or a split that was asked for is empty.
    """
    weighed = evidence(interactions, config, items=items)
    n_read, n_weighed = len(interactions), len(weighed)
    del interactions  # with its texts the largest of all
    since = first_learned(weighed, config)
    weighed = counted_since(weighed, since)
    users = complete(users, PRIVATE_USERS, USER_ID, weighed[USER_ID])
    items = complete(items, ITEMS, ITEM_ID, weighed[ITEM_ID])
    weighed = with_rows(weighed, users, items)
    meetings: pl.DataFrame = by_meeting(weighed)
    del weighed
    chosen = cutoffs or (after_last(meetings) if whole else cutoffs_of(strongest(meetings).filter(POSITIVE), config))
    if timed or whole:
        events = _per_split(meetings, chosen)
    else:
        events = random_holdout(strongest(meetings), config, users[USER_ID], items[ITEM_ID])
    del meetings
    usual = Usual() if config.value_weight == "none" else usual_values(events, config)
    events = by_value(events, config, usual)
    if not whole:
        check_split(events, POSITIVE, validated=cutoffs is None or cutoffs[0] != cutoffs[1])
    info: dict[str, JsonValue] = {
        "n_read": n_read,
        "n_ignored": n_read - n_weighed,
        "n_merged": n_weighed - len(events),
        "n_events": len(events),
        **({} if timed else {"time": "unknown"}),
    }
    events, told = capped(events, config)
    info |= told
    dataset = assemble(config, events, users, items, cutoffs=chosen, as_of=as_of, info=info)
    learned: dict[str, object] = {} if since is None else {"history_since": since.isoformat()}
    if config.value_weight != "none":
        learned["usual_values"] = usual.named(items[ITEM_ID])
    return replace(dataset, spec=dataset.spec.model_copy(update=learned)) if learned else dataset


def reindex(dataset: Dataset, spec: FeatureSpec, text_model: TextModel) -> Dataset:
    """Return the same rows encoded under another spec, so that an older champion's towers can be measured on them.

    What the spec keeps out of histories is not positive.
    """
    items = replace(encode_items(spec, text_model, dataset.items_frame), train_count=dataset.items.train_count)
    labels = np.array([0, *encode(dataset.spec.device_vocab, spec.device_vocab)], np.int32)
    events = replace(dataset.events, device=labels[np.asarray(dataset.events.device)])
    if spec.history_since:
        since = int(datetime.fromisoformat(spec.history_since).timestamp())
        events = replace(events, positive=np.asarray(events.positive) & (np.asarray(events.timestamp) >= since))
    users = encode_users(spec, dataset.users_frame)
    return replace(dataset, spec=spec, text_model=text_model, items=items, users=users, events=events)


def _per_split(meetings: pl.DataFrame, cutoffs: tuple[datetime, datetime]) -> pl.DataFrame:
    """Merge each meeting within its split: what follows a cut must not take the place of what came before it."""
    rows = with_split(meetings, cutoffs)
    parts = [strongest(rows.filter(pl.col(SPLIT) == split)) for split in (TRAIN, VALIDATION, TEST)]
    events: pl.DataFrame = in_time(pl.concat(parts))
    return events
