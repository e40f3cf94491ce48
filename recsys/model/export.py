"""Write trained towers as ONNX and NumPy files, and prove that they answer as TensorFlow does."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.errors import TrainingError
from recsys.features import ItemArrays
from recsys.model._tensorflow import tf
from recsys.model.canonical import save
from recsys.model.exported import HISTORY_FILE, ITEM_FILE, QUERY_FILE, VECTORS_FILE, ExportedTowers
from recsys.model.kinds import METADATA_KEY
from recsys.model.pooling import N_AGES
from recsys.model.retrieval import TwoTower
from recsys.model.sizes import Sizes
from recsys.schema import EVENT_KINDS

Tower: TypeAlias = Callable[[dict[str, "tf.Tensor"]], "tf.Tensor"]

_OPSET = 17
_MAX_DIFFERENCE = 1e-4  # of any coordinate, or share of the largest; float32 sums in another order differ by about 1e-6
_N_PROBES = 16
_CHUNK = 65_536  # rows compared at a time
_LARGE = 256  # rows of a table above which the converter, which copies constants many times, does not see it


def export_towers(model: TwoTower, sizes: Sizes, items: ItemArrays, vectors: NDArray[np.float32], folder: Path) -> None:
    """Write query.onnx, item.onnx and the halves of `vectors` [n_items, 2 D]: item_vectors and history_vectors.

    Raises TrainingError when ONNX Runtime and TensorFlow disagree by more than 1e-4 in any coordinate, or by more than
    that share of the largest coordinate where it is above 1.
    """

    folder.mkdir(parents=True, exist_ok=True)
    with _stand_ins(model) as tables:
        _convert(model.query_tower, _query_signature(sizes), folder / QUERY_FILE, tables)
        _convert(model.item_tower, _item_signature(sizes), folder / ITEM_FILE, tables)
    np.save(folder / VECTORS_FILE, np.ascontiguousarray(vectors[:, : sizes.dim]))
    np.save(folder / HISTORY_FILE, np.ascontiguousarray(vectors[:, sizes.dim :]))
    del vectors  # a large catalogue's are not held a second time beside those read back
    towers = ExportedTowers.load(folder)
    probes = _probes(sizes)
    _compare("query", [(towers.query(probes)[:, np.newaxis], model.query_tower(probes).numpy()[:, np.newaxis])])
    _compare("item", _item_pairs(towers, items))


@contextmanager
def _stand_ins(model: TwoTower) -> Iterator["dict[bytes, tf.Variable]"]:
    """Put tables of two random rows in place of large ones; yields the bytes of each with the table it stands for."""
    generator = np.random.default_rng(0)
    layers = [each for each in model.submodules if isinstance(each, tf.keras.layers.Embedding)]
    kept = {layer: layer.embeddings for layer in layers if layer.input_dim > _LARGE}
    tables = {}
    try:
        for layer, table in kept.items():
            stand_in = generator.normal(size=(2, layer.output_dim)).astype(np.float32)
            tables[stand_in.tobytes()] = table
            vars(layer)["embeddings"] = tf.Variable(stand_in)  # past Keras, which would forget the variable's place
        yield tables
    finally:
        for layer, table in kept.items():
            vars(layer)["embeddings"] = table


def _convert(
    tower: Tower, signature: Mapping[str, "tf.TensorSpec"], path: Path, tables: "Mapping[bytes, tf.Variable]"
) -> None:
    import tf2onnx

    traced = tf.function(lambda *tensors: tower(dict(zip(signature, tensors, strict=True))))
    # tf2onnx lists every constant it folds at level WARNING.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(traced, input_signature=list(signature.values()), opset=_OPSET)
    model.metadata_props.add(key=METADATA_KEY, value=",".join(EVENT_KINDS))
    save(model, path, tables)


def _query_signature(sizes: Sizes) -> dict[str, "tf.TensorSpec"]:
    length = sizes.history_length
    shapes = {
        "history_vectors": ([None, length, sizes.dim], tf.float32),
        "history_kinds": ([None, length], tf.int32),
        "history_ages": ([None, length], tf.int32),
        "user": ([None], tf.int32),
        "demographics": ([None, len(sizes.n_demographics)], tf.int32),
        "context": ([None, 3], tf.int32),
    }
    return {name: tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in shapes.items()}


def _item_signature(sizes: Sizes) -> dict[str, "tf.TensorSpec"]:
    shapes = {
        "id": ([None], tf.int32),
        "categories": ([None, sizes.max_categories], tf.int32),
        "creator": ([None], tf.int32),
        "language": ([None], tf.int32),
        "text": ([None, sizes.text_dim], tf.float32),
        "numeric": ([None, sizes.numeric_dim], tf.float32),
    }
    return {name: tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in shapes.items()}


def _probes(sizes: Sizes) -> dict[str, NDArray[np.generic]]:
    generator = np.random.default_rng(0)
    shape = (_N_PROBES, sizes.history_length)
    vectors = generator.normal(size=(*shape, sizes.dim)).astype(np.float32)
    kinds = np.where(np.arange(shape[1]) >= generator.integers(0, shape[1] + 1, (shape[0], 1)), 1, 0)
    demographics = [generator.integers(0, n, _N_PROBES) for n in sizes.n_demographics]
    return {
        "history_vectors": vectors / np.linalg.norm(vectors, axis=-1, keepdims=True),
        "history_kinds": kinds.astype(np.int32),
        "history_ages": generator.integers(0, N_AGES, shape, np.int32),
        "user": generator.integers(0, sizes.n_user_ids, _N_PROBES, np.int32),
        "demographics": np.array(demographics, np.int32).reshape(-1, _N_PROBES).T,
        "context": np.array([[hour % 25, hour % 8, 0] for hour in range(_N_PROBES)], np.int32),
    }


def _item_pairs(towers: ExportedTowers, items: ItemArrays) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield item beside history vectors [n, 2, D] of some rows at a time: as the tower says them, and as written."""
    for start in range(0, len(items.ids), _CHUNK):
        rows = slice(start, start + _CHUNK)
        written = np.stack([towers.item_vectors[rows], towers.history_vectors[rows]], axis=1)
        yield towers.encode_rows(items, rows).reshape(written.shape), written


def _compare(tower: str, pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
    """Raise TrainingError where exported and trained vectors [n, H, D] differ by too much or are not a number.

    Each of the H kinds is held to its own largest coordinate.
    """
    apart, largest = np.zeros(1, np.float32), np.ones(1, np.float32)
    for exported, trained in pairs:
        apart = np.maximum(apart, np.abs(exported - trained).max(axis=(0, 2), initial=0.0))
        largest = np.maximum(largest, np.abs(trained).max(axis=(0, 2), initial=0.0))
    difference = float((apart / largest).max())
    if not difference < _MAX_DIFFERENCE:
        raise TrainingError(
            f"the exported {tower} tower differs from the trained one by {difference:.2g} (at most "
            f"{_MAX_DIFFERENCE} allowed); this is a defect of the export, not of the data: do not promote this run"
        )
