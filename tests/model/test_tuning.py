import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.config import Config, ModelConfig, TuningConfig
from recsys.errors import StorageError, TrainingError
from recsys.features import Dataset, heldout, without_test
from recsys.model import train
from recsys.model.study import Study, Trial, open_study
from recsys.model.study_plots import study_figures
from recsys.model.tuning import best_of, is_better, run_trial, with_settings
from recsys.space import Domain, FloatRange

pytestmark = pytest.mark.slow

SPACE: dict[str, Domain] = {"learning_rate": FloatRange(low=1e-3, high=2e-2, log=True)}
Report = Callable[[int, dict[str, float]], None]


def _study(folder: Path, tuning: TuningConfig | None = None) -> Study:
    return open_study(folder, "search", {"data": "d"}, tuning or TuningConfig(startup_trials=1, warmup_epochs=0))


def _ignore(epoch: int, record: dict[str, float]) -> None:
    del epoch, record


def _worth(*values: float) -> Callable[[Config, Dataset, Path, Report], None]:
    """Return a training that reports these validation values, one an epoch."""

    def fake(config: Config, dataset: Dataset, folder: Path, on_epoch: Report) -> None:
        for epoch, value in enumerate(values, 1):
            on_epoch(epoch, {"steady_val_ndcg_at_10": value})

    return fake


def _try(study: Study, config: Config, world: Dataset, training: Callable[..., object]) -> str:
    with study.ask(SPACE, 100) as asked:
        assert asked is not None
        return run_trial(config, world, asked, _ignore, training)


def _trial(number: int, value: float | None, settings: dict[str, float] | None = None, **changes: object) -> Trial:
    state = "complete" if value is not None else "failed"
    trial = Trial(number, state, value, dict(settings or {"l2": float(number)}), False, "", "")
    return replace(trial, **changes)  # type: ignore[arg-type]


def test_the_best_epoch_is_a_trials_value(tmp_path: Path, config: Config, world: Dataset) -> None:
    study = _study(tmp_path)
    assert _try(study, config, world, _worth(0.1, 0.3, 0.2)) == "complete"
    assert study.trials()[0].value == 0.3


def test_a_hopeless_trial_ends_before_its_last_epoch(tmp_path: Path, config: Config, world: Dataset) -> None:
    study, heard = _study(tmp_path), []
    _try(study, config, world, _worth(0.3, 0.4))
    with study.ask(SPACE, 9) as asked:
        assert asked is not None
        state = run_trial(config, world, asked, lambda epoch, _: heard.append(epoch), _worth(0.1, 0.9))
    assert (state, heard) == ("pruned", [1])
    assert study.trials()[1].value is None


def test_a_diverged_trial_fails_and_the_study_goes_on(tmp_path: Path, config: Config, world: Dataset) -> None:
    def diverge(*_: object) -> None:
        raise TrainingError("the loss is nan at step 3")

    study = _study(tmp_path)
    assert _try(study, config, world, diverge) == "failed"
    assert _try(study, config, world, _worth(math.nan)) == "failed"
    assert _try(study, config, world, _worth(0.2)) == "complete"
    assert [trial.is_over for trial in study.trials()] == [True] * 3
    assert study.trials()[0].reason == "the loss is nan at step 3"
    assert best_of(study.trials()).number == 2


def test_a_real_divergence_is_told_with_its_learning_rate(tmp_path: Path, config: Config, world: Dataset) -> None:
    hot = config.model_copy(update={"model": config.model.model_copy(update={"l2": 1e38})})
    study = _study(tmp_path)
    assert _try(study, hot, world, train) == "failed"
    assert "the loss is" in study.trials()[0].reason


def test_an_outage_is_no_failure_of_the_settings(tmp_path: Path, config: Config, world: Dataset) -> None:
    def fail(*_: object) -> None:
        raise StorageError("no space")

    study = _study(tmp_path)
    with pytest.raises(StorageError):
        _try(study, config, world, fail)
    study.bury_killed()
    assert study.n_open(1) == 1


def test_settings_that_do_not_go_together_fail_the_trial(tmp_path: Path, config: Config, world: Dataset) -> None:
    study = _study(tmp_path)
    with study.ask({"learning_rate": FloatRange(low=-2.0, high=-1.0)}, 9) as asked:
        assert asked is not None
        assert run_trial(config, world, asked, _ignore, _worth(0.1)) == "failed"
    assert "greater than 0" in study.trials()[0].reason


def test_without_a_completed_trial_the_first_reason_is_told() -> None:
    trials = [_trial(0, None), _trial(1, None, reason="the loss is nan"), _trial(2, None, state="pruned")]
    with pytest.raises(TrainingError, match="2 of 3 failed; the first said: the loss is nan"):
        best_of(trials)


def test_the_earliest_of_equals_is_best() -> None:
    assert best_of([_trial(0, None), _trial(1, 0.2), _trial(2, 0.3), _trial(3, 0.3)]).number == 2


def test_only_what_beats_the_current_settings_is_adopted() -> None:
    current = {"l2": 0.5}
    measured = _trial(0, 0.2, current)
    assert is_better(_trial(1, 0.3), [measured, _trial(1, 0.3)], current) == (True, 0.2)
    assert is_better(measured, [measured], current) == (False, 0.2)
    assert is_better(_trial(1, 0.2), [measured, _trial(1, 0.2)], current) == (False, 0.2)


def test_current_settings_that_do_not_train_are_beaten_by_any() -> None:
    current = {"l2": 0.5}
    broken = _trial(0, None, current, reason="the loss is nan")
    assert is_better(_trial(1, 0.1), [broken, _trial(1, 0.1)], current) == (True, None)


def test_nothing_is_adopted_before_the_current_settings_are_measured() -> None:
    killed = _trial(0, None, {"l2": 0.5})
    with pytest.raises(TrainingError, match="not been measured"):
        is_better(_trial(1, 0.1), [killed, _trial(1, 0.1)], {"l2": 0.5})


def test_settings_that_are_not_searched_stay_unset() -> None:
    model = with_settings(ModelConfig(dim=16), {"l2": 0.0})
    assert (model.dim, model.l2, model.model_fields_set) == (16, 0.0, {"dim", "l2"})


def test_without_test_leaves_train_and_validation_as_they_were(world: Dataset) -> None:
    blind = without_test(world)
    assert set(np.unique(blind.events.split)) == {0, 1}
    assert (np.asarray(world.events.split) == 2).any()
    for split in (0, 1):
        before, after = world.events.split == split, blind.events.split == split
        for name in ("item", "kind", "weight", "timestamp", "device", "positive"):
            np.testing.assert_array_equal(getattr(world.events, name)[before], getattr(blind.events, name)[after])
    a, b = heldout(world, 1), heldout(blind, 1)
    np.testing.assert_array_equal(a.user_rows, b.user_rows)
    assert (a.relevant != b.relevant).nnz == (a.seen != b.seen).nnz == 0
    assert len(heldout(blind, 2).user_rows) == 0


def _with_other_test_rows(world: Dataset) -> Dataset:
    """Swap what everybody did in the test days for something else."""
    events = world.events
    rows = np.flatnonzero(np.asarray(events.split) == 2)
    item, positive, weight = events.item.copy(), events.positive.copy(), events.weight.copy()
    item[rows] = (item[rows] + 1 + np.arange(len(rows))) % len(world.items.ids)
    positive[rows], weight[rows] = ~positive[rows], weight[rows] * 5
    return replace(world, events=replace(events, item=item, positive=positive, weight=weight))


def test_the_test_days_do_not_influence_the_search(
    tmp_path: Path, config: Config, make: Callable[..., Dataset]
) -> None:
    world = make(80, 40, 10)
    model = config.model.model_copy(update={"epochs": 1, "dim": 8, "batch_size": 64})
    config = config.model_copy(update={"model": model})

    def search(folder: Path, dataset: Dataset) -> list[Trial]:
        study = _study(folder, TuningConfig(startup_trials=1, pruner="none"))
        for _ in range(2):
            _try(study, config, dataset, train)
        return study.trials()

    whole = search(tmp_path / "whole", world)
    assert search(tmp_path / "other", _with_other_test_rows(world)) == whole
    assert search(tmp_path / "blind", without_test(world)) == whole  # what the stage passes
    assert whole[0].value != whole[1].value


def test_plots_need_as_many_trials_as_they_compare(tmp_path: Path, config: Config, world: Dataset) -> None:
    study = _study(tmp_path)
    _try(study, config, world, _worth(0.2))
    assert set(study_figures(study)) == {"history"}
    for value in (0.3, 0.4):
        _try(study, config, world, _worth(value))
    assert set(study_figures(study)) == {"history", "parallel_coordinates", "importances"}
