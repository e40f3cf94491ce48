"""From tables to the training set of one fold of a backtest."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.config import BacktestConfig, Config
from recsys.errors import ConfigError, DataError
from recsys.features.assemble import assemble, complete, with_rows
from recsys.features.cores import k_core
from recsys.features.dataset import Dataset
from recsys.features.events import ITEM_ROW, POSITIVE, USER_ROW, by_meeting, evidence, strongest
from recsys.features.protocols import (
    GIVEN,
    ORDER,
    canonical,
    draw_newcomers,
    given,
    item_cold,
    leave_one_out,
    rolling,
    temporal,
    user_holdout,
)
from recsys.features.split import KNOWN, SPLIT, TEST, TRAIN, VALIDATION, check_split
from recsys.features.values import by_value
from recsys.schema import EVENT_ID, ITEM_ID, ITEMS, PRIVATE_USERS, TIMESTAMP, USER_ID


def case_dataset(
    config: Config,
    interactions: pl.DataFrame,
    users: pl.DataFrame,
    items: pl.DataFrame,
    *,
    fold: int = 0,
    fold_name: str = "",
    cold_items: Sequence[str] = (),
    train_validation: bool = False,
) -> Dataset:
    """Return the training set of one fold under `config.backtest`.

    `interactions` hold the order column if the configuration names one, and `given_split` with protocol `files`;
    `cold_items` are the held-out ids of `item_cold`. Everything random is drawn with `evaluation.seed`, so all models
    and training seeds meet the same split; with `train_validation` what was drawn for validation is trained on. Raises
    DataError when a set of users or items is empty.
    """
    settings = config.backtest
    if not config.timed and settings.protocol in ("temporal", "rolling"):
        raise ConfigError(
            f'backtest.protocol {settings.protocol!r} needs times, and source.interactions.timestamps is "none"; use '
            '"user_holdout" or "leave_one_out"'
        )
    weighed = evidence(_ordered(interactions, settings), config.features, _also(settings), items)
    if settings.min_core:
        weighed = k_core(weighed, settings.min_core)
    users = complete(users, PRIVATE_USERS, USER_ID, weighed[USER_ID])
    items = complete(items, ITEMS, ITEM_ID, weighed[ITEM_ID])
    rows = canonical(with_rows(weighed, users, items))
    generator = np.random.default_rng(config.evaluation.seed)
    newcomers = None
    if settings.protocol == "item_cold":
        ids = items[ITEM_ID].to_list()
        newcomers = draw_newcomers(rows, ids, cold_items, settings.validation_share, generator)
    rows = _split(config, rows, fold, newcomers, generator)
    if train_validation:
        rows = _validation_trained(rows)
        newcomers = None if newcomers is None else np.where(newcomers == VALIDATION, np.int8(0), newcomers)
    events = by_value(_merged(rows), config.features)
    check_split(events, POSITIVE, validated=_validates(settings) and not train_validation)
    info: dict[str, JsonValue] = {
        "protocol": settings.protocol,
        "fold": fold_name or str(fold),
        "n_read": len(interactions),
        "n_events": len(events),
    }
    return assemble(
        config.features,
        events,
        users,
        items,
        cutoffs=_starts(events),
        as_of=None,
        info=info,
        newcomers=newcomers,
    )


def _ordered(interactions: pl.DataFrame, settings: BacktestConfig) -> pl.DataFrame:
    name = settings.order_column
    if not name:
        return interactions.with_columns(pl.lit(0.0).alias(ORDER))
    if name not in interactions.columns:
        raise DataError(
            f"backtest.order_column {name!r} is no column of the interactions; declare it in source.interactions.extra"
        )
    order = interactions[name].cast(pl.Float64, strict=False)
    if n_missing := order.null_count():
        raise DataError(
            f"{n_missing} of {len(order)} events have no number in backtest.order_column {name!r}; leave them out or "
            "order by time"
        )
    return interactions.with_columns(order.alias(ORDER))


def _also(settings: BacktestConfig) -> tuple[str, ...]:
    return (ORDER, GIVEN) if settings.protocol == "files" else (ORDER,)


def _validates(settings: BacktestConfig) -> bool:
    return settings.protocol in ("temporal", "rolling", "leave_one_out") or settings.validation_share > 0


def _split(
    config: Config,
    rows: pl.DataFrame,
    fold: int,
    newcomers: NDArray[np.int8] | None,
    generator: np.random.Generator,
) -> pl.DataFrame:
    settings = config.backtest
    if newcomers is not None:
        return item_cold(rows, newcomers)
    if settings.protocol == "rolling":
        return rolling(rows, config.features, fold, settings.n_folds)
    if settings.protocol == "leave_one_out":
        return leave_one_out(rows)
    if settings.protocol == "user_holdout":
        return user_holdout(rows, settings, generator)
    if settings.protocol == "files":
        return given(rows, settings, generator)
    return temporal(rows, config.features)


def _validation_trained(events: pl.DataFrame) -> pl.DataFrame:
    """Put validation events into train, with what is known of users who are held out for validation alone."""
    asked_in_test = (pl.col(SPLIT) == TEST).any().over(USER_ROW)
    to_train = (pl.col(SPLIT) == VALIDATION) | ((pl.col(SPLIT) == KNOWN) & ~asked_in_test)
    return events.with_columns(pl.when(to_train).then(pl.lit(TRAIN, pl.Int8)).otherwise(SPLIT).alias(SPLIT))


def _merged(events: pl.DataFrame) -> pl.DataFrame:
    """Merge meetings within each split, then sort each user's events by split, order and time."""
    parts: list[pl.DataFrame] = [strongest(by_meeting(part)) for part in events.partition_by(SPLIT)]
    return pl.concat(parts).sort(USER_ROW, SPLIT, ORDER, TIMESTAMP, EVENT_ID, ITEM_ROW)


def _starts(events: pl.DataFrame) -> tuple[datetime, datetime]:
    """Return when validation and test begin, or when train ends where the split is not one of time."""
    table = events.select(
        pl.col(TIMESTAMP).filter(pl.col(SPLIT) == TRAIN).max().alias("end"),
        *(pl.col(TIMESTAMP).filter(pl.col(SPLIT) == split).min().alias(str(split)) for split in (VALIDATION, TEST)),
    )
    begins = table.select(pl.max_horizontal("end", str(VALIDATION)), pl.max_horizontal("end", str(TEST)).alias("test"))
    validation, test = begins.row(0)
    if not isinstance(validation, datetime) or not isinstance(test, datetime):
        raise DataError("train must hold an event with a time; got none: check the timestamps")
    return validation, test
