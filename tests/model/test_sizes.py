from dataclasses import replace

import numpy as np

from recsys.config import ModelConfig
from recsys.features import Dataset
from recsys.model._tensorflow import tf
from recsys.model.inputs import item_inputs
from recsys.model.item_tower import ItemTower
from recsys.model.sizes import Sizes


def _without_content(dataset: Dataset) -> Dataset:
    items = dataset.items
    names = "categories", "creator", "language", "text", "numeric"
    return replace(dataset, items=replace(items, **{name: np.zeros_like(getattr(items, name)) for name in names}))


def _n_weights(dataset: Dataset) -> int:
    tower = ItemTower(ModelConfig(dim=8), Sizes.of(ModelConfig(dim=8), dataset), ordered=True)
    vectors = tower({name: tf.constant(array) for name, array in item_inputs(dataset.items, slice(0, 3)).items()})
    assert vectors.shape == (3, 16)
    return len(tower.trainable_variables)


def test_content_is_refined_where_it_tells_items_apart(world: Dataset) -> None:
    assert Sizes.of(ModelConfig(), world).has_content
    assert not Sizes.of(ModelConfig(), _without_content(world)).has_content
    assert _n_weights(_without_content(world)) == _n_weights(world) - 8  # two layers of two encoders


def test_one_feature_is_content_enough(world: Dataset) -> None:
    bare = _without_content(world)
    language = np.asarray(bare.items.language).copy()
    language[0] = 1
    assert Sizes.of(ModelConfig(), replace(bare, items=replace(bare.items, language=language))).has_content
