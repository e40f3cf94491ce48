"""One trial: train with the settings asked for, stop when they are hopeless, tell the validation value."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import ValidationError

from recsys.config import Config, ModelConfig
from recsys.errors import ConfigError, TrainingError
from recsys.features import Dataset

if TYPE_CHECKING:
    from recsys.model.study import Asked, Trial, Value

METRIC = "steady_val_ndcg_at_10"  # the highest of many single epochs would be luck

Train = Callable[[Config, Dataset, Path, Callable[[int, dict[str, float]], None]], object]


class _StoppedError(Exception):
    """The pruner has seen enough."""


def run_trial(
    config: Config,
    dataset: Dataset,
    asked: "Asked",
    on_epoch: Callable[[int, dict[str, float]], None],
    train: Train,
) -> str:
    """Train once and end the trial with the kept epoch's steady validation nDCG@10; return how it ended.

    `dataset` must hold no test event. Settings that `[model]` refuses together, a loss that is not finite and an
    unfaithful export fail the trial with their reason, not the study; any other error leaves it to be tried again.
    """
    values: list[float] = []

    def heard(epoch: int, record: dict[str, float]) -> None:
        values.append(record[METRIC])
        on_epoch(epoch, record)
        if asked.is_hopeless(epoch, record[METRIC]):
            raise _StoppedError

    try:
        tried = config.model_copy(update={"model": with_settings(config.model, asked.settings)})
        with TemporaryDirectory(prefix="recsys-trial-") as folder:
            train(tried, dataset, Path(folder), heard)
        if not math.isfinite(max(values)):
            raise TrainingError(f"{METRIC} is {max(values)} in the best epoch")
    except _StoppedError:
        asked.end("pruned")
        return "pruned"
    except (TrainingError, ConfigError, ValidationError) as error:
        asked.end("failed", reason=str(error))
        return "failed"
    asked.end("complete", max(values))
    return "complete"


def with_settings(model: ModelConfig, settings: "Mapping[str, Value]") -> ModelConfig:
    """Return `[model]` with other values; a ValidationError names those it refuses."""
    return ModelConfig.model_validate({**model.model_dump(exclude_unset=True), **settings})


def best_of(trials: "list[Trial]") -> "Trial":
    """Return the completed trial with the highest value, the earliest of equals; TrainingError when none completed."""
    completed = [trial for trial in trials if trial.value is not None]
    if completed:
        return max(completed, key=lambda trial: (trial.value or 0.0, -trial.number))
    failed = [trial for trial in trials if trial.state == "failed"]
    why = next((f"; the first said: {trial.reason}" for trial in failed if trial.reason), "")
    raise TrainingError(
        f"no trial completed: {len(failed)} of {len(trials)} failed{why}. Narrow tuning.space or look at the trials' "
        "runs in MLflow, then run the study again"
    )


def is_better(best: "Trial", trials: "list[Trial]", current: "Mapping[str, Value]") -> tuple[bool, float | None]:
    """Tell whether the best trial beats the current settings, and their value (None when their training failed).

    Raises TrainingError while the current settings have not been measured.
    """
    measured = [trial for trial in trials if trial.settings == dict(current) and trial.is_measured]
    if not measured:
        raise TrainingError("the current settings have not been measured yet: let the study run to its end first")
    value = next((trial.value for trial in measured if trial.value is not None), None)
    return value is None or (best.value or 0.0) > value, value
