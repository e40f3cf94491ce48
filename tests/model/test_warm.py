import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from recsys.config import Config
from recsys.features import Dataset, StringColumn
from recsys.model import ExportedTowers, train
from recsys.model.pooling import N_HEADS
from recsys.schema import EVENT_KINDS

pytestmark = pytest.mark.slow


def _ignore(epoch: int, record: dict[str, float]) -> None:
    del epoch, record


def _settings(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


@pytest.fixture(scope="module")
def champion(config: Config, world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    train(config, world, folder, _ignore)
    return folder


def _first_values(config: Config, dataset: Dataset, folder: Path, before: tuple[Path, Dataset] | None) -> list[float]:
    values: list[float] = []
    train(_settings(config, epochs=2, learning_rate=1e-6), dataset, folder,
          lambda _, record: values.append(record["val_ndcg_at_10"]), before)  # fmt: skip
    return values


def test_going_on_starts_where_the_champion_ended(
    config: Config, world: Dataset, champion: Path, tmp_path: Path
) -> None:
    ended = max(record["val_ndcg_at_10"] for record in ExportedTowers.training(champion)["history"])  # type: ignore[attr-defined]
    (first, *_) = _first_values(config, world, tmp_path / "warm", (champion, world))
    assert first == pytest.approx(ended, abs=0.01)
    warm, old = ExportedTowers.load(tmp_path / "warm"), ExportedTowers.load(champion)
    assert np.allclose(warm.item_vectors, old.item_vectors, atol=0.02)
    assert ExportedTowers.training(tmp_path / "warm")["warm_start"] is True


def test_vocabularies_grow_and_dropped_ids_go(
    config: Config, make: Callable[..., Dataset], world: Dataset, champion: Path, tmp_path: Path
) -> None:
    grown = make(330, 90, 12)  # 30 users and 10 items more
    renamed = StringColumn.of(("x" + name) if row < 5 else name for row, name in enumerate(grown.items.ids.tolist()))
    vocab = [("x" + name) if row < 5 else name for row, name in enumerate(grown.spec.item_vocab)]
    grown = replace(grown, items=replace(grown.items, ids=renamed),
                    spec=grown.spec.model_copy(update={"item_vocab": vocab}))  # fmt: skip
    _first_values(config, grown, tmp_path, (champion, world))
    warm, old = ExportedTowers.load(tmp_path), ExportedTowers.load(champion)
    kept = {name: row for row, name in enumerate(world.items.ids.tolist())}
    both = [(row, kept[name]) for row, name in enumerate(renamed.tolist()) if name in kept]
    new_rows, old_rows = np.array(both).T
    assert len(both) == 75
    assert np.allclose(warm.item_vectors[new_rows], old.item_vectors[old_rows], atol=0.02)
    assert np.isfinite(warm.item_vectors).all()
    unknown = np.setdiff1d(np.arange(90), new_rows)
    assert warm.item_vectors[unknown].any(axis=1).all()  # they start at their content


def test_other_widths_start_anew(config: Config, world: Dataset, champion: Path, tmp_path: Path) -> None:
    train(_settings(config, dim=8, epochs=1), world, tmp_path, _ignore, (champion, world))
    assert ExportedTowers.training(tmp_path)["warm_start"] is False


def test_towers_without_weights_start_anew(config: Config, world: Dataset, champion: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.mkdir()
    for path in champion.iterdir():
        if path.name != "query_weights.npz":
            (older / path.name).write_bytes(path.read_bytes())
    train(_settings(config, epochs=1), world, tmp_path / "new", _ignore, (older, world))
    assert ExportedTowers.training(tmp_path / "new")["warm_start"] is False


def test_a_champion_that_knows_fewer_kinds_of_events_is_gone_on_from(
    config: Config, world: Dataset, champion: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(champion, older)
    with np.load(older / "query_weights.npz") as arrays:
        saved = {name: arrays[name] for name in arrays.files}
    (kinds,) = [name for name, array in saved.items() if array.shape == (len(EVENT_KINDS) + 1, N_HEADS)]
    np.savez(older / "query_weights.npz", **{**saved, kinds: saved[kinds][:9] + 0.5})
    before = replace(world, spec=world.spec.model_copy(update={"event_kinds": list(EVENT_KINDS[:8])}))
    train(_settings(config, epochs=1, learning_rate=1e-9, l2=0.0), world, tmp_path / "new", _ignore, (older, before))
    assert ExportedTowers.training(tmp_path / "new")["warm_start"] is True
    with np.load(tmp_path / "new" / "query_weights.npz") as arrays:
        assert np.allclose(arrays[kinds][:9], saved[kinds][:9] + 0.5, atol=1e-3)
        assert arrays[kinds].shape == (len(EVENT_KINDS) + 1, N_HEADS)


def test_trained_towers_name_the_kinds_they_know(champion: Path) -> None:
    session = ort.InferenceSession(str(champion / "query.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["event_kinds"].split(",") == list(EVENT_KINDS)
