import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recsys.model._tensorflow
from recsys.config import Config
from recsys.errors import StorageError, TrainingError
from recsys.features import Dataset, heldout
from recsys.model import ExportedTowers, train
from recsys.model.inputs import query_inputs
from recsys.model.training import TrainingResult
from recsys.model.validation import ndcg_at_k

pytestmark = pytest.mark.slow


def _ignore(epoch: int, record: dict[str, float]) -> None:
    del epoch, record


def _settings(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


@pytest.fixture(scope="module", params=["full", "sampled"])
def trained(
    request: pytest.FixtureRequest, config: Config, world: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingResult, Path, list[int]]:
    folder, epochs = tmp_path_factory.mktemp(request.param), []
    result = train(_settings(config, loss=request.param), world, folder, lambda epoch, _: epochs.append(epoch))
    return result, folder, epochs


def test_loss_falls_and_every_epoch_is_reported(trained: tuple[TrainingResult, Path, list[int]]) -> None:
    result, folder, epochs = trained
    assert epochs == list(range(1, len(result.history) + 1))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert set(result.history[0]) == {"loss", "val_ndcg_at_10", "steady_val_ndcg_at_10", "examples_per_s"}
    assert json.loads((folder / "training.json").read_text())["best_epoch"] == result.best_epoch


def test_model_beats_popularity_on_test(trained: tuple[TrainingResult, Path, list[int]], world: Dataset) -> None:
    towers, held = ExportedTowers.load(trained[1]), heldout(world, 2)
    queries = towers.query_vectors(
        world, towers.history_vectors, held.user_rows, held.history_end, held.query_time, held.device
    )
    popularity = world.items.train_count.astype(np.float32)[:, None]
    everyone = np.ones((len(held.user_rows), 1), np.float32)
    model_value = ndcg_at_k(queries, towers.item_vectors, held.relevant, held.seen)
    assert model_value > 1.2 * ndcg_at_k(everyone, popularity, held.relevant, held.seen)


def test_exported_item_tower_encodes_the_catalogue(
    trained: tuple[TrainingResult, Path, list[int]], world: Dataset
) -> None:
    towers = ExportedTowers.load(trained[1])
    assert towers.item_vectors.dtype == np.float32
    assert np.allclose(towers.encode_items(world.items)[0], towers.item_vectors, atol=1e-4)


def test_unknown_ids_and_empty_histories_give_finite_vectors(
    trained: tuple[TrainingResult, Path, list[int]], world: Dataset
) -> None:
    towers = ExportedTowers.load(trained[1])
    unknown = {
        name: np.zeros_like(getattr(world.items, name)) for name in ("vocab", "categories", "creator", "language")
    }
    assert np.isfinite(towers.encode_items(replace(world.items, **unknown))[0]).all()
    start = world.events.offsets[:3]
    inputs = query_inputs(world, np.arange(3), start, np.zeros(3, int), np.zeros(3, int), towers.history_length)
    inputs["user"][:] = inputs["demographics"][:] = 0
    vectors = np.zeros((3, towers.history_length, towers.dim), np.float32)
    inputs.pop("history")
    answer = towers.query(inputs, history_vectors=vectors)
    assert np.isfinite(answer).all() and (np.linalg.norm(answer, axis=1) > 0).all()


def test_query_vectors_do_not_depend_on_the_batch_size(
    trained: tuple[TrainingResult, Path, list[int]], world: Dataset
) -> None:
    towers, held = ExportedTowers.load(trained[1]), heldout(world, 2)
    arguments = (held.user_rows, held.history_end, held.query_time, held.device)
    whole = towers.query_vectors(world, towers.history_vectors, *arguments)
    assert np.allclose(whole, towers.query_vectors(world, towers.history_vectors, *arguments, batch=7), atol=1e-4)


def test_no_sum_depends_on_which_thread_comes_first() -> None:
    from tensorflow.python.framework import config as framework

    assert recsys.model._tensorflow.tf and framework.is_op_determinism_enabled()


def test_same_seed_gives_the_same_vectors(config: Config, make: Callable[..., Dataset], tmp_path: Path) -> None:
    small = make(40, 20, 8)
    settings = _settings(config, epochs=2)
    for name in ("one", "two"):
        train(settings, small, tmp_path / name, _ignore)
    for file in ("item_vectors.npy", "training.json", "query.onnx", "item.onnx"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


class Scripted:
    """Training whose validation values are known: `weights` say after which epoch they were asked for."""

    values: tuple[float, ...] = ()
    n_validation, n_parameters, dim, task, full, warm = 0, 1, 4, "later", True, False

    def __init__(self, *_: object) -> None:
        self._epoch = 0

    def epoch(self) -> dict[str, float]:
        self._epoch += 1
        return {"loss": 1.0, "val_ndcg_at_10": self.values[self._epoch - 1], "examples_per_s": 1.0}

    def weights(self) -> list[np.ndarray]:
        return [np.array([self._epoch], np.float32)]

    def restore(self, weights: list[np.ndarray]) -> None:
        self.kept = float(weights[0][0])

    def export(self, folder: Path) -> None:
        np.save(folder / "kept.npy", self.kept)


@pytest.mark.parametrize(("n_users", "kept", "trained"), [(300, 7, 8), (5000, 3, 5), (0, 8, 8)])
def test_of_few_users_one_lucky_epoch_is_not_kept(
    config: Config,
    world: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_users: int,
    kept: int,
    trained: int,
) -> None:
    monkeypatch.setattr(Scripted, "values", (0.1, 0.12, 0.3, 0.2, 0.22, 0.24, 0.2, 0.1))
    monkeypatch.setattr(Scripted, "n_validation", n_users)
    monkeypatch.setattr("recsys.model.training.Trainer", Scripted)
    result = train(_settings(config, epochs=8, patience=2), world, tmp_path, _ignore)
    assert (result.best_epoch, len(result.history)) == (kept, trained)
    assert np.load(tmp_path / "kept.npy") == kept


def test_the_users_who_choose_the_epoch_are_the_same_for_every_seed(
    config: Config, world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.model import trainer

    monkeypatch.setattr(trainer, "_MAX_VALIDATION_USERS", 5)
    chosen = [trainer.Trainer(_settings(config, seed=seed).model, world)._heldout.user_rows for seed in (1, 2)]
    assert len(chosen[0]) == 5 and (chosen[0] == chosen[1]).all()


@pytest.mark.parametrize(("n_users", "n_items", "loss"), [(1, 12, "sampled"), (12, 1, "full")])
def test_one_user_or_one_item_trains(
    config: Config, make: Callable[..., Dataset], tmp_path: Path, n_users: int, n_items: int, loss: str
) -> None:
    result = train(_settings(config, epochs=1, loss=loss), make(n_users, n_items, n_items), tmp_path, _ignore)
    assert np.isfinite(result.history[0]["loss"])
    assert np.isfinite(ExportedTowers.load(tmp_path).item_vectors).all()


def test_diverging_training_names_step_and_learning_rate(config: Config, world: Dataset, tmp_path: Path) -> None:
    broken = replace(world, items=replace(world.items, text=np.full_like(world.items.text, np.nan)))
    with pytest.raises(TrainingError, match=r"step 1 .*learning_rate = 0\.005"):
        train(config, broken, tmp_path, _ignore)


def test_windows_without_a_target_teach_nothing_and_break_nothing(
    config: Config, make: Callable[..., Dataset], tmp_path: Path
) -> None:
    world = make(30, 12, 10)
    items = np.array(world.events.item)
    for start, stop in zip(world.events.offsets[:-1], world.events.offsets[1:], strict=True):
        items[start:stop] = items[start]  # after the first event nobody meets anything new
    again = replace(world, events=replace(world.events, item=items))
    result = train(_settings(config, batch_size=2, history_length=2, epochs=1), again, tmp_path, _ignore)
    assert np.isfinite(result.history[0]["loss"])


def test_loading_a_folder_without_towers_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="run the training stage again"):
        ExportedTowers.load(tmp_path)


def test_importing_the_room_does_not_import_tensorflow() -> None:
    code = (
        "import sys, recsys.model; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'tf_keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_exporting_large_tables_leaves_the_model_as_it_was(config: Config, world: Dataset, tmp_path: Path) -> None:
    from recsys.model.trainer import Trainer

    trainer = Trainer(config.model, world)
    trainer.epoch()
    weights, vectors = trainer.weights(), trainer.vectors()
    trainer.export(tmp_path)
    n_users, dim = len(world.spec.user_vocab), config.model.dim
    assert (tmp_path / "query.onnx").stat().st_size > n_users * dim * 4 > 256 * dim * 4
    assert all((kept == now).all() for kept, now in zip(weights, trainer.weights(), strict=True))
    assert (vectors == trainer.vectors()).all()
    assert np.isfinite(trainer.epoch()["loss"])


def test_the_rate_falls_with_wide_vectors_and_where_order_says_nothing(config: Config, world: Dataset) -> None:
    from recsys.model.trainer import Trainer

    changes = ({}, {"dim": 128}, {"dim": 256}, {"task": "any"}, {"task": "any", "dim": 128})
    settings = [config.model.model_copy(update={"dim": 64, "task": "next", **each}) for each in changes]
    rates = [Trainer(each, world).peak_rate / config.model.learning_rate for each in settings]
    assert rates == pytest.approx([1, 1 / 2, 1 / 4, 0.3, 0.15])
