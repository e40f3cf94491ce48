"""One day's sessions in the demo world: what was shown where, watched how long, clicked and liked."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.data.demo.catalogue import Catalogue
from recsys.data.demo.population import Population

_SLATE = 10
_SESSIONS_PER_USER_DAY = 0.155  # about 300 k events in 60 days at scale 1
_BLOCK = 2048  # sessions scored at a time; bounds memory at any scale
_EXPOSURE, _CHOICE = 2.2, 2.0  # how strongly taste decides what is shown, and what of it is watched
_FRESHNESS, _FRESH_DAYS = 1.5, 10.0
_POSITION_BIAS = 0.22  # logit lost with each position down the page
_SHIFT_SEED = 97
_DAY_S = 86_400


@dataclass(frozen=True)
class Slates:
    """Shown items of a day's sessions; all [n_sessions, slate] but `user`, `begin_s` [n_sessions]."""

    user: NDArray[np.int64]
    begin_s: NDArray[np.int64]
    item: NDArray[np.int64]
    propensity: NDArray[np.float64]
    affinity: NDArray[np.float32]


def affinity(taste: NDArray[np.float32], catalogue: Catalogue) -> NDArray[np.float32]:
    """Return how much users with these tastes like each item, float32[n_users, n_items], before any bias."""
    return taste @ catalogue.topics.T


def day_events(
    people: Population, catalogue: Catalogue, seed: int, day: int, *, shifted: bool, columns: tuple[str, ...]
) -> pl.DataFrame:
    """Return one day's events with the given columns: user and item row, kind, value, second of the world, position,
    session and propensity, in the order of time.
    """
    random = np.random.default_rng([seed, 3, day])
    slates = _show(people, catalogue, random, day, shifted)
    position = np.broadcast_to(np.arange(slates.item.shape[1]), slates.item.shape)
    shown_s = slates.begin_s[:, None] + 20 * position
    logit = _CHOICE * slates.affinity + 0.4 * catalogue.appeal[slates.item] - _POSITION_BIAS * position - 3.0
    watched = random.random(logit.shape) < 1 / (1 + np.exp(-logit))
    share = np.clip(random.beta(2, 2, logit.shape) + 0.15 * slates.affinity, 0.02, 1.0)
    seconds = np.round(share * catalogue.duration_s[slates.item], 1)
    clicked = watched & (random.random(logit.shape) < 0.45)
    liked = watched & (share > 0.6) & (random.random(logit.shape) < 0.4)
    session = np.broadcast_to(np.arange(len(slates.user))[:, None], slates.item.shape)
    user = np.broadcast_to(slates.user[:, None], slates.item.shape)
    parts = []
    for kind, happened, delay_s in (
        ("impression", np.ones_like(watched), 0),
        ("click", clicked, 2),
        ("view", watched, 3),
        ("like", liked, 9),
    ):
        values = (user, slates.item, seconds, shown_s + delay_s, position, session, slates.propensity)
        names = ("user", "item", "value", "second", "position", "session", "propensity")
        part = pl.DataFrame({name: value[happened] for name, value in zip(names, values, strict=True)})
        watched_s = pl.col("value") if kind == "view" else pl.lit(None, pl.Float64)
        parts.append(part.with_columns(watched_s.alias("value"), pl.lit(kind).alias("event")))
    return pl.concat(parts).sort("second", "session", "position", "event").select(columns)


def _show(people: Population, catalogue: Catalogue, random: np.random.Generator, day: int, shifted: bool) -> Slates:
    here = np.flatnonzero(people.joined_s < day * _DAY_S)
    n_sessions = random.poisson(_SESSIONS_PER_USER_DAY * people.activity[here])
    user = np.repeat(here, n_sessions)
    begin_s = day * _DAY_S + (random.beta(4, 2, len(user)) * (_DAY_S - 600)).astype(np.int64)
    there = np.flatnonzero((catalogue.published_s < day * _DAY_S) & (catalogue.expires_s > (day + 1) * _DAY_S))
    taste = people.taste_on(day, shifted)
    appeal = catalogue.appeal
    if shifted:
        appeal = appeal[np.random.default_rng(_SHIFT_SEED).permutation(len(appeal))]
    age_days = day - catalogue.published_s[there] / _DAY_S
    common = (appeal[there] + _FRESHNESS * np.exp(-age_days / _FRESH_DAYS)).astype(np.float32)
    size = min(_SLATE, len(there))
    item = np.zeros((len(user), size), np.int64)
    chance, liking = np.zeros(item.shape), np.zeros(item.shape, np.float32)
    for begin in range(0, len(user) if size else 0, _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        likes = taste[user[rows]] @ catalogue.topics[there].T
        logit = _EXPOSURE * likes + common
        drawn = logit + random.gumbel(size=logit.shape).astype(np.float32)  # Gumbel top-k: draws without replacement
        top = np.argpartition(-drawn, size - 1, axis=1)[:, :size] if size < len(there) else np.argsort(-drawn, axis=1)
        order = np.argsort(-np.take_along_axis(drawn, top, axis=1), axis=1, kind="stable")
        top = np.take_along_axis(top, order, axis=1)
        share = np.exp(logit - logit.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        item[rows], liking[rows] = there[top], np.take_along_axis(likes, top, axis=1)
        chance[rows] = np.clip(1 - (1 - np.take_along_axis(share, top, axis=1).astype(float)) ** size, 1e-6, 1.0)
    return Slates(user, begin_s, item, chance, liking)
