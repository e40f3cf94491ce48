"""Where order says nothing, one table says what an item is as a candidate and in a history."""

import numpy as np

from recsys.config import ModelConfig
from recsys.features import Dataset
from recsys.model._tensorflow import tf
from recsys.model.content_start import fit_content
from recsys.model.inputs import item_inputs
from recsys.model.item_tower import ItemTower, mask_ids
from recsys.model.sizes import Sizes

CONFIG = ModelConfig(dim=8)


def _shares(dataset: Dataset) -> np.ndarray:
    return np.linspace(0.1, 1, len(dataset.items.ids), dtype=np.float32)


def _started(dataset: Dataset, ordered: bool) -> tuple[ItemTower, np.ndarray, np.ndarray]:
    """Return a tower that starts at random tables [n_items, K], these, and what it maps the items to."""
    items, sizes = dataset.items, Sizes.of(CONFIG, dataset)
    tower = ItemTower(CONFIG, sizes, ordered)
    inputs = {name: tf.constant(array) for name, array in item_inputs(items, slice(None)).items()}
    tower(inputs)
    tables = np.random.default_rng(0).normal(size=(len(items.ids), 16 if ordered else 8)).astype(np.float32)
    content = fit_content(items, tables, items.train_count, (sizes.n_categories, sizes.n_creators, sizes.n_languages))
    tower.start(np.asarray(items.vocab), _shares(dataset), tables - content.predict(items), content)
    return tower, tables, tower(inputs).numpy()


def test_one_table_gives_both_halves_where_order_says_nothing(world: Dataset) -> None:
    tower, table, vectors = _started(world, ordered=False)
    known = np.asarray(world.items.vocab) > 0
    body, lengths = table[known, :-1], np.linalg.norm(table[known, :-1], axis=1, keepdims=True)
    assert np.allclose(vectors[known], np.hstack([body / np.sqrt(lengths), table[known, -1:], 8**0.5 * body, np.ones_like(lengths)]),
                       atol=1e-4)  # fmt: skip
    assert np.allclose(tower.encoded(vectors)[known], table[known], atol=1e-4)


def test_ordered_halves_have_tables_of_their_own(world: Dataset) -> None:
    tower, tables, vectors = _started(world, ordered=True)
    known = np.asarray(world.items.vocab) > 0
    assert np.allclose(vectors[known], tables[known], atol=1e-4)
    assert np.allclose(tower.encoded(vectors), vectors)


def test_of_what_an_id_learns_its_share_is_said(world: Dataset) -> None:
    tower, _, before = _started(world, ordered=True)
    for encoder in tower._encoders:
        encoder.ids.embeddings.assign_add(tf.ones_like(encoder.ids.embeddings))
    after = tower({name: tf.constant(array) for name, array in item_inputs(world.items).items()}).numpy()
    share = np.where(world.items.vocab > 0, _shares(world), 0)
    assert np.allclose(after - before, share[:, np.newaxis], atol=1e-4)


def test_in_training_ids_are_masked_and_only_there(world: Dataset) -> None:
    config = ModelConfig(dim=8, id_dropout=1 - 1e-9, dropout=0.0)
    tower = ItemTower(config, Sizes.of(config, world), True)
    inputs = {name: tf.constant(array) for name, array in item_inputs(world.items, slice(None)).items()}
    unknown = tower({**inputs, "id": tf.zeros_like(inputs["id"])}).numpy()
    assert np.allclose(tower(inputs, training=True).numpy(), unknown, atol=1e-6)
    assert not np.allclose(tower(inputs).numpy(), unknown, atol=1e-6)


def test_a_share_of_the_ids_is_masked() -> None:
    tf.keras.utils.set_random_seed(0)
    ids = tf.range(1, 10_001)
    masked = mask_ids(ids, 0.3).numpy()
    assert 0.28 < (masked == 0).mean() < 0.32
    assert np.array_equal(masked[masked > 0], ids.numpy()[masked > 0])
