"""The demo world as a source: days come out one by one, each from the seed and its date alone."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.config import DemoSource
from recsys.data.demo.catalogue import Catalogue, stock
from recsys.data.demo.population import Population, populate
from recsys.data.demo.sessions import affinity, day_events
from recsys.data.demo.topics import DEVICES
from recsys.schema import (
    COUNTRY,
    DEVICE,
    EVENT_ID,
    INTERACTIONS,
    ITEM_ID,
    LOCATION,
    PUBLISHED_AT,
    REQUEST_ID,
    SESSION_ID,
    SIGNED_UP_AT,
    TIMESTAMP,
    USER_ID,
)

_DAY = timedelta(days=1)
_COLUMNS = ("user", "item", "event", "value", "second", "position", "session", "propensity")


class DemoWorld:
    """A source of invented users, items and sessions, and the oracle that knows why they happened."""

    def __init__(self, settings: DemoSource) -> None:
        self.settings = settings
        self.start = datetime.combine(settings.start, time(), UTC)

    @cached_property
    def population(self) -> Population:
        """All users the world will ever have."""
        return populate(self.settings, self.start)

    @cached_property
    def catalogue(self) -> Catalogue:
        """All items the world will ever have."""
        return stock(self.settings, self.start)

    def interval(self) -> tuple[datetime, datetime]:
        """Return the first day and the day after the last."""
        return self.start, self.start + self.settings.days * _DAY

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield who signed up in `[start, end)`; the world's first day also has all who came before it."""
        yield self._arrived(self.population.frame, SIGNED_UP_AT, start, end)

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield what was published in `[start, end)`; the world's first day also has all that came before it."""
        yield self._arrived(self.catalogue.frame, PUBLISHED_AT, start, end)

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield one frame a day."""
        first, last = self.interval()
        day = max(start, first)
        while day < min(end, last):
            midnight = datetime.combine(day.date(), time(), UTC)
            events = self._day(midnight)
            inside = (pl.col(TIMESTAMP) >= start) & (pl.col(TIMESTAMP) < end)
            yield events.filter(inside)
            day = midnight + _DAY

    def true_preference(self, user_ids: Sequence[str], item_ids: Sequence[str], day: datetime) -> NDArray[np.float32]:
        """Return float32[n_users, n_items]: how much each user likes each item on a day, free of any bias."""
        number = (day - self.start).days
        users = [int(user[1:]) for user in user_ids]
        items = [int(item[1:]) for item in item_ids]
        taste = self.population.taste_on(number, self._shifted(day))[users]
        return affinity(taste, self.catalogue)[:, items]

    def _day(self, midnight: datetime) -> pl.DataFrame:
        number = (midnight - self.start).days
        shifted = self._shifted(midnight)
        rows = day_events(
            self.population, self.catalogue, self.settings.seed, number, shifted=shifted, columns=_COLUMNS
        )
        label = midnight.strftime("%Y%m%d")
        people, user, item = self.population, rows["user"].to_numpy(), rows["item"].to_numpy()
        session = pl.format("s{}-{}", pl.lit(label), pl.col("session"))
        return rows.with_columns(
            pl.format("e{}-{}", pl.lit(label), pl.int_range(pl.len())).alias(EVENT_ID),
            people.frame[USER_ID].gather(user).alias(USER_ID),
            self.catalogue.frame[ITEM_ID].gather(item).alias(ITEM_ID),
            (pl.lit(self.start) + pl.duration(seconds=pl.col("second"))).alias(TIMESTAMP),
            pl.Series(DEVICE, DEVICES).gather(people.device[user]),
            people.frame[LOCATION].str.slice(0, 2).gather(user).alias(COUNTRY),
            session.alias(SESSION_ID),
            pl.format("r{}", session).alias(REQUEST_ID),
        ).select(pl.col(name).cast(dtype) for name, dtype in INTERACTIONS.items())

    def _shifted(self, day: datetime) -> bool:
        return self.settings.shift_from is not None and day.date() >= self.settings.shift_from

    def _arrived(self, frame: pl.DataFrame, column: str, start: datetime, end: datetime) -> pl.DataFrame:
        since = pl.lit(True) if start <= self.start else pl.col(column) >= start
        return frame.filter(since & (pl.col(column) < end))
