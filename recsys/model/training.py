"""Training: Adam on shuffled batches, early stopping on steadied validation nDCG@10, export of the best weights."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.features import Dataset
from recsys.model.exported import TRAINING_FILE
from recsys.model.trainer import Trainer
from recsys.model.warm import Predecessor
from recsys.storage import write_json

STEADY = "steady_val_ndcg_at_10"
_STEADY_USERS = 2000  # whose mean nDCG has a standard error of about .005
_MOST_EPOCHS = 5


@dataclass(frozen=True)
class TrainingResult:
    """What training did: one record per epoch, the epoch whose weights were kept, and the cost."""

    history: list[dict[str, float]]
    best_epoch: int
    n_parameters: int
    seconds: float


def train_towers(
    config: Config,
    dataset: Dataset,
    out_dir: Path,
    on_epoch: Callable[[int, dict[str, float]], None],
    predecessor: Predecessor | None = None,
) -> TrainingResult:
    """Train both towers, keep the weights of the epoch with the best `steady` validation nDCG@10, export to `out_dir`.

    `on_epoch` receives the epoch, from 1, and `loss`, `val_ndcg_at_10` (0 when nobody is held out),
    `steady_val_ndcg_at_10` and `examples_per_s`. Without held-out users the last epoch is kept. A `predecessor` of the
    same widths is gone on from.
    Raises TrainingError when train has no positive event, when the loss is no longer finite, or when the export is not
    faithful.
    """
    started = time.perf_counter()
    trainer = Trainer(config.model, dataset, predecessor)
    history: list[dict[str, float]] = []
    best_weights: list[NDArray[np.float32]] = []
    best_epoch, best_value = 0, -math.inf
    for epoch in range(1, config.model.epochs + 1):
        record = trainer.epoch()
        history.append(record)
        value = record[STEADY] = steady([each["val_ndcg_at_10"] for each in history], trainer.n_validation)
        on_epoch(epoch, record)
        if not trainer.n_validation or value > best_value:
            best_epoch, best_value, best_weights = epoch, value, trainer.weights()
        elif epoch - best_epoch >= config.model.patience:
            break
    trainer.restore(best_weights)
    best_weights.clear()  # as large as the model, which the export needs the memory for
    trainer.export(out_dir)
    result = TrainingResult(history, best_epoch, trainer.n_parameters, time.perf_counter() - started)
    write_json(
        str(out_dir / TRAINING_FILE),
        {**_without_timing(result), **_how(trainer)},
    )
    return result


def steady(values: list[float], n_users: int) -> float:
    """Return the mean of the last values, of as many epochs as ask 2,000 users together, five at most.

    Of many values that few users give, the highest is luck, and early luck keeps weights that have not learned enough.

    >>> steady([0.125, 0.25, 0.5], 5000), steady([0.125, 0.25, 0.5], 1000)
    (0.5, 0.375)
    """
    n_values = min(_MOST_EPOCHS, -(-_STEADY_USERS // max(n_users, 1)))
    return float(np.mean(values[-n_values:]))


def _how(trainer: Trainer) -> dict[str, object]:
    return {"dim": trainer.dim, "task": trainer.task, "full_softmax": trainer.full, "warm_start": trainer.warm}


def _without_timing(result: TrainingResult) -> dict[str, object]:
    # A published folder is named after its content: equal training must write equal bytes.
    epochs = [{name: value for name, value in record.items() if name != "examples_per_s"} for record in result.history]
    return {"history": epochs, "best_epoch": result.best_epoch, "n_parameters": result.n_parameters}
