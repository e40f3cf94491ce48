"""The two-tower model: training with TensorFlow, answering with ONNX Runtime.

Importing this room does not import TensorFlow; calling `train` does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.model.exported import QUERY_FILE, ExportedTowers

if TYPE_CHECKING:
    from recsys.config import Config
    from recsys.features import Dataset
    from recsys.model.training import TrainingResult

__all__ = ["QUERY_FILE", "ExportedTowers", "train"]


def train(
    config: "Config",
    dataset: "Dataset",
    out_dir: Path,
    on_epoch: Callable[[int, dict[str, float]], None],
    before: "tuple[Path, Dataset] | None" = None,
) -> "TrainingResult":
    """Train both towers and write the exported towers into `out_dir`; see `recsys.model.training.train_towers`.

    `before` names earlier exported towers to go on from and the dataset they were trained on.
    """
    from recsys.model.training import train_towers
    from recsys.model.warm import Predecessor

    predecessor = Predecessor(before[0], before[1].spec, before[1].items.ids) if before else None
    return train_towers(config, dataset, out_dir, on_epoch, predecessor)
