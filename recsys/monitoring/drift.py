"""Compare fresh events with the days the champion learned from, against the noise those days have in themselves.

The mean of a measure's values inside the reference is subtracted as noise, and a signal fires only when what is left
exceeds its limit and the statistic exceeds every one of them. What cannot be measured is unknown, and told as such.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.config import Config, MonitoringConfig
from recsys.evaluation.metrics import average, n_measured
from recsys.evaluation.significance import bootstrap_means
from recsys.features import StringColumn
from recsys.monitoring import measures
from recsys.monitoring.comparisons import Comparison, comparisons
from recsys.monitoring.observations import Observations, observe
from recsys.monitoring.statistics import Floats

SignalKind = Literal["data", "taste", "quality"]
_BY_SEGMENT = "_by_segment"
_N_BOOTSTRAP = 1000


@dataclass(frozen=True)
class Signal:
    """One measure: `value` is `statistic` less `noise`; it fires above `limit` when also beyond `noise_limit`.

    `unknown` says why there is no value, and is empty where there is one.
    """

    name: str
    kind: SignalKind
    value: float
    limit: float
    fired: bool
    statistic: float
    noise: float
    noise_limit: float
    unknown: str = ""

    @property
    def measure(self) -> str:
        """The measure it is a view of: two views of one measure are one piece of evidence."""
        return self.name.removesuffix(_BY_SEGMENT)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the signal as JSON; its numbers are null where it is unknown."""
        numbers = ("value", "statistic", "noise", "noise_limit")
        return {**asdict(self), **(dict.fromkeys(numbers) if self.unknown else {})}


def drift_report(
    config: Config,
    reference: pl.DataFrame,
    fresh: pl.DataFrame,
    item_ids: StringColumn,
    item_vectors: NDArray[np.float32],
    ndcg_reference: Floats | None = None,
    ndcg_fresh: Floats | None = None,
) -> list[Signal]:
    """Return every signal for two frames made by `join_context`.

    `reference` are the days the champion learned from. `item_vectors` [m, d] are the champion's, `item_ids` [m] name
    their rows. `ndcg_reference` and `ndcg_fresh` are the champion's per-user nDCG@10 when it was judged (one mean will
    do) and on the fresh events; None where nobody can be measured.
    """
    events = observe(config, reference, fresh, item_ids, item_vectors)
    actual, noise = comparisons(events, config.monitoring)
    signals = [
        _signal(events, name, kind, limit, measure, actual, noise)
        for name, kind, limit, measure in _watched(config.monitoring)
    ]
    return [*signals, ndcg_fall(config.monitoring, ndcg_reference, ndcg_fresh)]


def ndcg_fall(config: MonitoringConfig, reference: Floats | None, fresh: Floats | None) -> Signal:
    """Return the relative fall `1 - mean(fresh) / mean(reference)`.

    It fires above its limit when the fall's bootstrapped 95 % interval lies above 0; `noise` is 0, `noise_limit` half
    the width of that interval. Without a measured user on either side, or with a reference of 0, it is unknown.
    """
    name, limit = "ndcg_fall", config.max_ndcg_drop
    if fresh is None or not n_measured(fresh):
        return _unknown(name, "quality", limit, "no user of the fresh window can be measured")
    if reference is None or not n_measured(reference):
        return _unknown(name, "quality", limit, "no user of the champion's last days can be measured")
    before, after = average(reference), average(fresh)
    if before <= 0:
        return _unknown(name, "quality", limit, "the champion met nobody's taste when it was judged")
    means = [bootstrap_means(values, _N_BOOTSTRAP, config.seed + i) for i, values in enumerate((reference, fresh))]
    falls = 1.0 - means[1] / np.maximum(means[0], 1e-12)
    low, high = np.quantile(falls, [0.025, 0.975])
    fall = 1.0 - after / before
    fired = bool(fall > limit and low > 0)
    return Signal(name, "quality", fall, limit, fired, fall, 0.0, float(high - low) / 2)


def _watched(config: MonitoringConfig) -> list[tuple[str, SignalKind, float, measures.Measure]]:
    return [
        ("event_kinds", "data", config.max_js, measures.event_kinds),
        ("hour_of_day", "data", config.max_psi, measures.hour_of_day),
        ("seconds_watched", "data", config.max_ks, measures.seconds_watched),
        ("demographics", "data", config.max_js, measures.demographics),
        ("item_popularity", "data", config.max_psi, measures.item_popularity),
        ("category_mix", "taste", config.max_js, measures.category_mix),
        (f"category_mix{_BY_SEGMENT}", "taste", config.max_js, measures.category_mix_by_segment),
        ("embedding_shift", "taste", config.max_embedding_shift, measures.embedding_shift),
        (f"embedding_shift{_BY_SEGMENT}", "taste", config.max_embedding_shift, measures.embedding_shift_by_segment),
    ]


def _signal(
    events: Observations,
    name: str,
    kind: SignalKind,
    limit: float,
    measure: measures.Measure,
    actual: Comparison,
    noise: list[Comparison],
) -> Signal:
    statistic = measure(events, actual.before, actual.after)
    if np.isnan(statistic):
        return _unknown(name, kind, limit, "one side of the comparison holds nothing to measure")
    values = [measure(events, each.before, each.after) for each in noise]
    usual = [value for value in values if not np.isnan(value)]
    if not usual:
        return _unknown(name, kind, limit, "the champion's days are too few to show how much it moves by itself")
    mean, largest = float(np.mean(usual)), max(usual)
    value = max(statistic - mean, 0.0)
    fired = value > limit and statistic > largest
    return Signal(name, kind, value, limit, fired, statistic, mean, largest)


def _unknown(name: str, kind: SignalKind, limit: float, why: str) -> Signal:
    nothing = float("nan")
    return Signal(name, kind, nothing, limit, False, nothing, nothing, nothing, why)
