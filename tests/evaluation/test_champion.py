from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys import schema
from recsys.config import Config, DemoSource
from recsys.data.demo import DemoWorld
from recsys.evaluation import ServedModel, evaluate, evaluate_champion, evaluate_recommender, measured_users
from recsys.features import Dataset, ItemArrays, frames_to_dataset
from recsys.scoring import Blend, FittedBlend, Popularity, recommendable_items

CONFIG = Config()


class _ByCategory:
    """Towers that know nothing but the category codes of the spec they were trained under."""

    def __init__(self, dataset: Dataset) -> None:
        self.n_codes = len(dataset.spec.category_vocab) + 1
        self.item_vectors, self.history_vectors = self.encode_items(dataset.items)

    def encode_items(self, items: ItemArrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        vectors = np.zeros((len(items.ids), self.n_codes), np.float32)
        np.put_along_axis(vectors, np.asarray(items.categories).astype(np.int64), 1.0, axis=1)
        vectors[:, 0] = 0.0
        return vectors, vectors

    def query_vectors(
        self, dataset: Dataset, history_vectors: Any, user_rows: Any, history_end: Any, query_time: Any, device: Any
    ) -> NDArray[np.float32]:
        starts = dataset.events.offsets[user_rows]
        items = [dataset.events.item[start:end] for start, end in zip(starts, history_end, strict=True)]
        return np.stack([history_vectors[rows].sum(axis=0) for rows in items])


@pytest.fixture(scope="module")
def datasets() -> tuple[Dataset, Dataset]:
    """The first 20 days of a small demo world, and all 30."""
    world = DemoWorld(DemoSource(days=30, scale=0.1))
    start, end = world.interval()
    frames = [pl.concat(list(read(start, end))) for read in (world.interactions, world.users, world.items)]
    users = frames[1].with_columns(pl.col(schema.AGE).cast(pl.String))
    cut = start + timedelta(days=20)
    old = frames_to_dataset(
        CONFIG.features,
        frames[0].filter(pl.col(schema.TIMESTAMP) < cut),
        users.filter(pl.col(schema.SIGNED_UP_AT) < cut),
        frames[2].filter(pl.col(schema.PUBLISHED_AT) < cut),
    )
    return old, frames_to_dataset(CONFIG.features, frames[0], users, frames[2])


def served(dataset: Dataset, towers: _ByCategory, blend: FittedBlend | None = None) -> ServedModel:
    return ServedModel(dataset.spec, dataset.text_model, dataset.items.ids.tolist(), towers, blend)


def test_an_older_champion_is_measured_on_the_new_catalogue_through_its_own_spec(
    datasets: tuple[Dataset, Dataset],
) -> None:
    old, new = datasets
    assert len(new.items.ids) > len(old.items.ids)
    report = evaluate(CONFIG, new, _ByCategory(new))
    champion = evaluate_champion(CONFIG, new, served(old, _ByCategory(old)))
    assert champion.per_user.shape == report.per_user["two_tower"].shape
    assert champion.metrics["ndcg_at_10"] > 2 * report.metrics["random"]["ndcg_at_10"]


def test_a_champion_of_the_same_day_scores_what_the_model_scores(datasets: tuple[Dataset, Dataset]) -> None:
    _, new = datasets
    towers = _ByCategory(new)
    champion = evaluate_champion(CONFIG, new, served(new, towers))
    assert champion.per_user.tolist() == evaluate(CONFIG, new, towers).per_user["two_tower"].tolist()


BLEND = Blend(
    weights={"two_tower": 1e-9, "popularity": 1.0},
    scales={"two_tower": 1.0, "popularity": 1.0},
    validation={},
    n_users=1,
    ease_l2=1.0,
    recent_days=1,
    settings=CONFIG.blend,
)


@pytest.mark.parametrize("before", [1, 2])
def test_a_served_blend_counts_with_what_it_knew_when_it_was_fitted(
    datasets: tuple[Dataset, Dataset], before: int
) -> None:
    _, new = datasets
    champion = served(new, _ByCategory(new), FittedBlend.fit(BLEND, new, before))
    recommendable = recommendable_items(new, 2)
    by_popularity = Popularity(new, recommendable, before)
    expected = evaluate_recommender(CONFIG, new, by_popularity, measured_users(CONFIG, new), recommendable).per_user
    assert evaluate_champion(CONFIG, new, champion).per_user.tolist() == expected.tolist()


def test_a_served_blend_follows_its_items_into_another_catalogue(datasets: tuple[Dataset, Dataset]) -> None:
    old, new = datasets
    fitted = FittedBlend.fit(BLEND, old, 3)
    mapped = fitted.mapped(old.items.ids.tolist(), new.items.ids.tolist()).components["popularity"]
    own = dict(zip(old.items.ids.tolist(), np.asarray(fitted.components["popularity"]).tolist(), strict=True))
    assert [own.get(item, 0.0) for item in new.items.ids.tolist()] == np.asarray(mapped).tolist()
