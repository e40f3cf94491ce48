"""Compare fresh events with the champion's training window, against the noise that window has in itself.

Every distance between two finite samples is above zero, and a catalogue that turns over moves numbers without anybody's
taste having changed. So each measure is first taken inside the reference: its later windows, as long as the fresh one,
against its earlier half. The mean of those values is subtracted as noise, and a signal fires only when what is left
exceeds its limit and the statistic exceeds every one of them.
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
from recsys.monitoring.observations import Bools, Observations, observe
from recsys.monitoring.statistics import Floats

SignalKind = Literal["data", "taste", "quality"]
_DAY_S = 86_400
_MIN_TIME_WINDOWS = 3  # fewer windows in time do not show the noise; random groups of users then do
_N_BOOTSTRAP = 1000


@dataclass(frozen=True)
class Signal:
    """One measure: `value` is `statistic` less `noise`; it fires above `limit` when also beyond `noise_limit`."""

    name: str
    kind: SignalKind
    value: float
    limit: float
    fired: bool
    statistic: float
    noise: float
    noise_limit: float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the signal as JSON."""
        return asdict(self)


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

    `item_vectors` [m, d] are the champion's, `item_ids` [m] name their rows. `ndcg_reference` and `ndcg_fresh` are the
    champion's per-user nDCG@10 when it was trained (one mean will do) and on the fresh events; without both, no
    `ndcg_fall` is reported.
    """
    events = observe(config, reference, fresh, item_ids, item_vectors)
    pairs = null_pairs(events, config.monitoring)
    signals = [
        _signal(events, name, kind, limit, measure, pairs) for name, kind, limit, measure in _watched(config.monitoring)
    ]
    if ndcg_reference is not None and ndcg_fresh is not None:
        signals.append(ndcg_fall(config.monitoring, ndcg_reference, ndcg_fresh))
    return signals


def ndcg_fall(config: MonitoringConfig, reference: Floats, fresh: Floats) -> Signal:
    """Return the relative fall `1 - mean(fresh) / mean(reference)`.

    It fires above its limit when the fall's bootstrapped 95 % interval lies above 0; `noise` is 0, `noise_limit` half
    the width of that interval. No measured user or a reference of 0: no fall.
    """
    before, after = average(reference), average(fresh)
    if before <= 0 or not n_measured(fresh):
        return Signal("ndcg_fall", "quality", 0.0, config.max_ndcg_drop, False, 0.0, 0.0, 0.0)
    means = [bootstrap_means(values, _N_BOOTSTRAP, config.seed + i) for i, values in enumerate((reference, fresh))]
    falls = 1.0 - means[1] / np.maximum(means[0], 1e-12)
    low, high = np.quantile(falls, [0.025, 0.975])
    fall = 1.0 - after / before
    fired = bool(fall > config.max_ndcg_drop and low > 0)
    return Signal("ndcg_fall", "quality", fall, config.max_ndcg_drop, fired, fall, 0.0, float(high - low) / 2)


def null_pairs(events: Observations, config: MonitoringConfig) -> list[tuple[Bools, Bools]]:
    """Return pairs (earlier, later) of masks inside the reference that differ by noise and turnover alone.

    Later windows are as long as the fresh events span, in whole days. A reference too short for three of them is
    split into random groups of users instead, of the fresh events' size.
    """
    pairs = _windows_in_time(events, config.n_null_windows)
    return pairs if len(pairs) >= _MIN_TIME_WINDOWS else _groups_of_users(events, config)


def _watched(config: MonitoringConfig) -> list[tuple[str, SignalKind, float, measures.Measure]]:
    return [
        ("event_kinds", "data", config.max_js, measures.event_kinds),
        ("hour_of_day", "data", config.max_psi, measures.hour_of_day),
        ("seconds_watched", "data", config.max_ks, measures.seconds_watched),
        ("demographics", "data", config.max_js, measures.demographics),
        ("item_popularity", "data", config.max_psi, measures.item_popularity),
        ("category_mix", "taste", config.max_js, measures.category_mix),
        ("category_mix_by_segment", "taste", config.max_js, measures.category_mix_by_segment),
        ("embedding_shift", "taste", config.max_embedding_shift, measures.embedding_shift),
        ("embedding_shift_by_segment", "taste", config.max_embedding_shift, measures.embedding_shift_by_segment),
    ]


def _signal(
    events: Observations,
    name: str,
    kind: SignalKind,
    limit: float,
    measure: measures.Measure,
    pairs: list[tuple[Bools, Bools]],
) -> Signal:
    statistic = measure(events, ~events.fresh, events.fresh)
    null = [measure(events, earlier, later) for earlier, later in pairs]
    noise, noise_limit = float(np.mean(null or [0.0])), max(null, default=0.0)
    value = max(statistic - noise, 0.0)
    fired = value > limit and statistic > noise_limit
    return Signal(name, kind, value, limit, fired, statistic, noise, noise_limit)


def _windows_in_time(events: Observations, n_windows: int) -> list[tuple[Bools, Bools]]:
    before, after = events.timestamp[~events.fresh], events.timestamp[events.fresh]
    if not before.size or not after.size:
        return []
    width = max(round((int(after.max()) - int(after.min())) / _DAY_S), 1) * _DAY_S
    end, start = int(before.max()) + 1, int(before.min())
    middle = start + (end - start) // 2
    earlier = ~events.fresh & (events.timestamp < middle)
    starts = range(end - width, middle - 1, -width)[:n_windows]
    windows = [~events.fresh & (events.timestamp >= at) & (events.timestamp < at + width) for at in starts]
    return [(earlier, later) for later in windows if later.any() and earlier.any()]


def _groups_of_users(events: Observations, config: MonitoringConfig) -> list[tuple[Bools, Bools]]:
    inside = ~events.fresh
    users = np.unique(events.user[inside])
    if users.size < 2:
        return []
    share = min(int(events.fresh.sum()) / max(int(inside.sum()), 1), 0.5)
    generator = np.random.default_rng(config.seed)
    pairs = []
    for _ in range(config.n_null_windows):
        drawn = generator.choice(users, max(round(share * users.size), 1), replace=False)
        later = inside & np.isin(events.user, drawn)
        pairs.append((inside & ~later, later))
    return pairs
