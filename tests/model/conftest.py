"""A small world with two taste groups: what model tests train on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.config import Config, FeaturesConfig, ModelConfig
from recsys.features import Dataset, frames_to_dataset
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS

_START = datetime(2026, 1, 1, tzinfo=UTC)
_N_GROUPS = 4


def _fill(rows: list[dict[str, object]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def make_world(n_users: int, n_items: int, per_user: int, seed: int = 0) -> Dataset:
    """Users prefer items of their own group 12 to 1; their events are spread over 40 days."""
    generator = np.random.default_rng(seed)
    users, items, events = [], [], []
    popularity = generator.exponential(size=n_items) + 0.1
    for item in range(n_items):
        group = f"group {item % _N_GROUPS}"
        items.append(
            {"item_id": f"i{item:03}", "title": f"{group} title", "categories": [group], "published_at": _START}
        )
    for user in range(n_users):
        users.append({"user_id": f"u{user:04}", "gender": "fmx"[user % 3], "age": "25-34"})
        taste = popularity * np.where(np.arange(n_items) % _N_GROUPS == user % _N_GROUPS, 12.0, 1.0)
        chosen = generator.choice(n_items, min(per_user, n_items), replace=False, p=taste / taste.sum())
        hours = np.sort(generator.integers(0, 24 * 40, len(chosen)))
        for item, hour in zip(chosen, hours, strict=True):
            events.append(
                {
                    "event_id": f"e{len(events):06}",
                    "user_id": f"u{user:04}",
                    "item_id": f"i{item:03}",
                    "event": "click",
                    "timestamp": _START + timedelta(hours=int(hour)),
                    "device": "phone" if user % 2 else "tv",
                }
            )
    features = FeaturesConfig(text_dim=4, min_item_events=1, min_user_events=1)
    return frames_to_dataset(features, _fill(events, INTERACTIONS), _fill(users, PRIVATE_USERS), _fill(items, ITEMS))


@pytest.fixture(scope="session")
def make() -> Callable[..., Dataset]:
    return make_world


@pytest.fixture(scope="session")
def world() -> Dataset:
    return make_world(300, 80, 12)


@pytest.fixture(scope="session")
def config() -> Config:
    return Config(model=ModelConfig(dim=16, history_length=8, batch_size=256, epochs=8, patience=8, learning_rate=5e-3))
