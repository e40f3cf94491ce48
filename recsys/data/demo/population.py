"""The demo world's users: who they are, what they agreed to, and what they like."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.config import DemoSource
from recsys.data.demo.topics import DEVICES, GENDERS, OCCUPATIONS, REGIONS, TOPICS
from recsys.schema import (
    AGE,
    CONSENT_ANALYTICS,
    CONSENT_PERSONALIZATION,
    DO_NOT_SELL,
    GENDER,
    LOCATION,
    OCCUPATION,
    SIGNED_UP_AT,
    USER_ID,
    USERS,
)

_USERS_AT_SCALE_1 = 2000
_BEFORE_START = 0.7  # share of users who signed up before the world's first day
_AGE_STEPS = (25, 35, 50)  # tastes change at these ages
_CRAVING, _CRAVING_DAYS = 1.2, 5  # logit that a passing interest adds to one topic, and how long it lasts
_DAY_S = 86_400


@dataclass(frozen=True)
class Population:
    """User rows in id order. `taste` float32[n, n_topics] holds logits, `drift` their change over a hundred days.

    On top of both, each user has a passing interest in one topic, so that what was watched last tells what comes next.
    """

    seed: int
    frame: pl.DataFrame
    taste: NDArray[np.float32]
    drift: NDArray[np.float32]
    activity: NDArray[np.float64]
    device: NDArray[np.int64]
    joined_s: NDArray[np.int64]

    def taste_on(self, day: int, shifted: bool) -> NDArray[np.float32]:
        """Return logits of topics on a day, counted from the world's first; a shift turns them by half the topics."""
        taste = self.taste + self.drift * np.float32(day / 100)
        taste[np.arange(len(taste)), self._passing_interest(day)] += np.float32(_CRAVING)
        return np.roll(taste, taste.shape[1] // 2, axis=1) if shifted else taste

    def _passing_interest(self, day: int) -> NDArray[np.int64]:
        """Return each user's topic of the moment; a fifth of the users turn to another one each day."""
        n, n_topics = self.taste.shape
        term = (day + np.arange(n) % _CRAVING_DAYS) // _CRAVING_DAYS
        now, soon = (
            np.random.default_rng([self.seed, 4, number]).integers(0, n_topics, n)
            for number in (day // _CRAVING_DAYS, day // _CRAVING_DAYS + 1)
        )
        return np.where(term == day // _CRAVING_DAYS, now, soon)


def moments(start: datetime, seconds: NDArray[np.int64]) -> pl.Series:
    """Return `start` plus each number of seconds, as UTC times."""
    microseconds = seconds * 1_000_000 + int(start.timestamp()) * 1_000_000
    return pl.Series(microseconds).cast(pl.Datetime("us", "UTC"))


def populate(settings: DemoSource, start: datetime) -> Population:
    """Draw the users of the world; the same settings give the same users."""
    random = np.random.default_rng([settings.seed, 1])
    n = max(1, round(_USERS_AT_SCALE_1 * settings.scale))
    age = np.clip(random.gamma(6.0, 6.5, n), 13, 90).astype(np.int32)
    gender = random.choice(len(GENDERS), n, p=[0.48, 0.48, 0.04])
    region, occupation = random.integers(0, len(REGIONS), n), random.integers(0, len(OCCUPATIONS), n)
    by_age, by_gender, by_region = (
        random.normal(0, spread, (size, len(TOPICS)))
        for size, spread in ((len(_AGE_STEPS) + 1, 1.0), (len(GENDERS), 0.7), (len(REGIONS), 0.4))
    )
    personal = random.normal(0, 1.0, (n, len(TOPICS)))
    taste = by_age[np.digitize(age, _AGE_STEPS)] + by_gender[gender] + by_region[region] + personal
    arrival_s = (random.uniform(0, settings.days, n) * _DAY_S).astype(np.int64)
    early = random.random(n) < _BEFORE_START
    joined_s = np.where(early, -(random.uniform(1, 700, n) * _DAY_S).astype(np.int64), arrival_s)
    frame = pl.DataFrame(
        {
            USER_ID: [f"u{number:07d}" for number in range(n)],
            AGE: age,
            GENDER: np.array(GENDERS)[gender],
            LOCATION: np.array(REGIONS)[region],
            OCCUPATION: np.array(OCCUPATIONS)[occupation],
            CONSENT_PERSONALIZATION: random.random(n) < 0.93,
            CONSENT_ANALYTICS: random.random(n) < 0.8,
            DO_NOT_SELL: random.random(n) < 0.1,
            SIGNED_UP_AT: moments(start, joined_s),
        },
        schema=USERS,
    )
    return Population(
        seed=settings.seed,
        frame=frame,
        taste=taste.astype(np.float32),
        drift=random.normal(0, 0.8, taste.shape).astype(np.float32),
        activity=random.gamma(1.2, 1 / 1.2, n),
        device=random.choice(len(DEVICES), n, p=[0.5, 0.25, 0.15, 0.1]),
        joined_s=joined_s,
    )
