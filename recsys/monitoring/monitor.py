"""One monitoring run, pure: frames and arrays in, report out."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.config import Config
from recsys.features import StringColumn
from recsys.monitoring.decision import Decision, decide
from recsys.monitoring.drift import Signal, drift_report
from recsys.monitoring.observations import count_positive
from recsys.monitoring.statistics import Floats


@dataclass(frozen=True)
class MonitoringReport:
    """What one run compared, found and decided."""

    as_of: date
    last_trained: date
    n_reference: int
    n_fresh: int
    n_fresh_positive: int
    signals: list[Signal]
    decision: Decision

    def to_json(self) -> dict[str, JsonValue]:
        """Return the report, ready for `storage.write_json`."""
        return {
            "as_of": self.as_of.isoformat(),
            "last_trained": self.last_trained.isoformat(),
            "n_reference": self.n_reference,
            "n_fresh": self.n_fresh,
            "n_fresh_positive": self.n_fresh_positive,
            "signals": [signal.to_json() for signal in self.signals],
            "decision": self.decision.to_json(),
        }


def monitor(
    config: Config,
    reference: pl.DataFrame,
    fresh: pl.DataFrame,
    item_ids: StringColumn,
    item_vectors: NDArray[np.float32],
    *,
    last_trained: date,
    as_of: date,
    ndcg_reference: Floats | None = None,
    ndcg_fresh: Floats | None = None,
) -> MonitoringReport:
    """Compare `fresh` with `reference` (both made by `join_context`) and decide on a retraining.

    With too few fresh events no drift is measured: the report says so and holds no signals.
    """
    n_events = count_positive(config, fresh)
    signals = []
    if n_events >= config.monitoring.min_events:
        signals = drift_report(config, reference, fresh, item_ids, item_vectors, ndcg_reference, ndcg_fresh)
    return MonitoringReport(
        as_of=as_of,
        last_trained=last_trained,
        n_reference=reference.height,
        n_fresh=fresh.height,
        n_fresh_positive=n_events,
        signals=signals,
        decision=decide(config, signals, n_events, last_trained, as_of),
    )
