"""What an evaluation found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.evaluation.metrics import Bools, Floats
from recsys.evaluation.sample import ListSample


@dataclass(frozen=True)
class ModelResult:
    """One recommender on one set of held-out users.

    `metrics` maps `<metric>_at_<k>` to a mean; `per_user` is the main metric, one value per user (NaN without a
    relevant item); `slices` maps a slice to metrics at the main k; `deciles` is recall by popularity of the item, the
    rarest tenth first (None where no relevant item falls in it).
    """

    name: str
    metrics: dict[str, float]
    interval: tuple[float, float]
    slices: dict[str, dict[str, float]]
    deciles: list[float | None]
    per_user: Floats


@dataclass(frozen=True)
class EvaluationReport:
    """The model beside its baselines on the same users and the same recommendable items.

    `lifts` maps each baseline to (mean, low, high) of model minus baseline on the main metric, by paired bootstrap.
    `groups` maps a demographic column to label to {n_users, ndcg, low, high} of the model. `user_slices` bool[n_users]
    names cold and warm users and demographic groups (`column=label`). `cut_offs` maps each configured k to the k that
    was used: fewer when the catalogue is smaller. `sample` are some of the model's lists.
    """

    split: int
    main_metric: str
    model: str
    results: dict[str, ModelResult]
    lifts: dict[str, tuple[float, float, float]]
    groups: dict[str, dict[str, dict[str, float]]]
    counts: dict[str, int]
    slice_counts: dict[str, int]
    decile_counts: list[int]
    cut_offs: dict[int, int]
    user_rows: NDArray[np.int32]
    user_slices: dict[str, Bools]
    sample: ListSample

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Return the means of every metric, by model."""
        return {name: result.metrics for name, result in self.results.items()}

    @property
    def per_user(self) -> dict[str, Floats]:
        """Return float64[n_users] of the main metric, by model, aligned with `user_rows`."""
        return {name: result.per_user for name, result in self.results.items()}

    @property
    def slices(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return metrics by slice, then by model."""
        names = next(iter(self.results.values())).slices
        return {name: {model: result.slices[name] for model, result in self.results.items()} for name in names}

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything but the per-user arrays, ready for `storage.write_json`."""
        return {
            "split": self.split,
            "main_metric": self.main_metric,
            "model": self.model,
            "metrics": {name: dict(values) for name, values in self.metrics.items()},
            "intervals": {name: list(result.interval) for name, result in self.results.items()},
            "lifts": {name: list(values) for name, values in self.lifts.items()},
            "slices": {
                name: {model: dict(values) for model, values in models.items()} for name, models in self.slices.items()
            },
            "groups": {
                column: {label: dict(values) for label, values in labels.items()}
                for column, labels in self.groups.items()
            },
            "deciles": {name: list(result.deciles) for name, result in self.results.items()},
            "decile_counts": list(self.decile_counts),
            "counts": dict(self.counts),
            "slice_counts": dict(self.slice_counts),
            "cut_offs": {str(asked): used for asked, used in self.cut_offs.items()},
        }
