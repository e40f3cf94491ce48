"""Cold start as a curve: how well newcomers are served after 0, 1, 2, 5, 10 events, against popularity.

For each newcomer one cut is chosen. What lies after it is to be found, the same at every point of the curve; items met
before it are hidden from every list at every point, so popularity is a flat line and the curve shows what the told
events add. The window says which events are told: `first` the very first (with MovieLens those stem from the sign-up
page), `recent` the last before a cut in the middle, as when a running service meets somebody.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.sparse import csr_matrix

from recsys.errors import DataError
from recsys.evaluation.metrics import ACCURACY, Floats, average
from recsys.evaluation.significance import bootstrap_means
from recsys.evaluation.users import hits_of
from recsys.features import Dataset, Heldout, Segments
from recsys.scoring.recommender import Recommender, ScoredRecommender, Scorer

Window = Literal["first", "recent"]
N_EVENTS = (0, 1, 2, 5, 10)
_N_NEXT = 10  # targets after the cut of the recent window: what comes next, not what comes years later
_METRICS = ("ndcg", "recall")


@dataclass(frozen=True)
class Point:
    """One model's mean at one number of told events, with its 95 % interval and its ratio to popularity's."""

    window: str
    n_events: int
    model: str
    metric: str
    n_users: int
    value: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields by name."""
        return asdict(self)


class SegmentPopularity(ScoredRecommender):
    """Ranks by the share of an item among the events of the user's demographic segment."""

    name = "segment_popularity"

    def __init__(self, trained: Dataset, newcomers: Dataset, recommendable: NDArray[np.bool_]) -> None:
        super().__init__(recommendable)
        self._segments = Segments.fit(trained)
        self._codes = self._segments.codes(np.asarray(newcomers.users.demographics))

    def _scorer(self, heldout: Heldout) -> Scorer:
        return lambda block: self._segments.shares(self._codes[heldout.user_rows[block]])


def told(newcomers: Dataset, window: Window, n_events: int, horizon: int = max(N_EVENTS)) -> tuple[Dataset, Heldout]:
    """Return the newcomers with only their told events positive, and whom to measure.

    A user needs `horizon` positive events before the cut and one after it; the others are left out. Raises DataError
    when nobody is left, ValueError when `n_events` is not in 0..horizon.
    """
    if not 0 <= n_events <= horizon:
        raise ValueError(f"n_events must be in 0..{horizon}; got {n_events}")
    events, positions = newcomers.events, newcomers.events.positive_positions
    begins = np.searchsorted(positions, events.offsets[:-1])
    n_positive = np.searchsorted(positions, events.offsets[1:]) - begins
    users = np.flatnonzero(n_positive > horizon).astype(np.int32)
    if not users.size:
        raise DataError(f"no newcomer has more than {horizon} positive events; hold out more users or lower n_events")
    begin, n = begins[users], n_positive[users]
    cut = begin + (np.full(len(users), horizon) if window == "first" else np.maximum(horizon, n // 2))
    start = begin if window == "first" else cut - n_events
    shown = np.zeros(len(events.item), bool)
    shown[positions[(start[:, None] + np.arange(n_events)).ravel()]] = True
    end = begin + n if window == "first" else np.minimum(cut + _N_NEXT, begin + n)
    first = positions[cut]
    after_told = positions[start + n_events] if window == "first" else first
    heldout = Heldout(
        user_rows=users,
        relevant=_spans(newcomers, positions, cut, end),
        seen=_spans(newcomers, np.arange(len(events.item)), np.asarray(events.offsets)[users], first),
        query_time=np.asarray(events.timestamp)[after_told],
        device=np.asarray(events.device)[after_told],
        history_end=after_told.astype(np.int64),
        cold_user=np.ones(len(users), bool),
    )
    fresh = heldout.relevant > heldout.seen
    return replace(newcomers, events=replace(events, positive=shown)), replace(heldout, relevant=csr_matrix(fresh))


def curve(
    newcomers: Dataset,
    recommenders: Callable[[Dataset], Sequence[Recommender]],
    window: Window,
    *,
    k: int = 10,
    n_bootstrap: int = 1000,
    seed: int = 5,
    counts: Sequence[int] = N_EVENTS,
) -> list[Point]:
    """Return nDCG@k and recall@k of every recommender at every number of told events, popularity among them.

    `recommenders` makes them for the newcomers with the told events; one must be named `popularity`. Ratios are of
    means over the same users, with intervals by paired bootstrap. Raises ValueError without popularity.
    """
    points: list[Point] = []
    for n_events in counts:
        shown, heldout = told(newcomers, window, n_events, max(counts))
        points += against_popularity(recommenders(shown), heldout, window, n_events, k, n_bootstrap, seed)
    return points


def against_popularity(
    recommenders: Sequence[Recommender],
    heldout: Heldout,
    window: str,
    n_events: int,
    k: int = 10,
    n_bootstrap: int = 1000,
    seed: int = 5,
) -> list[Point]:
    """Return one point of a curve: nDCG@k and recall@k of every recommender; see `curve`."""
    values = {each.name: _values(each, heldout, k) for each in recommenders}
    if "popularity" not in values:
        raise ValueError(f"one recommender must be named 'popularity'; got {sorted(values)}")
    return [
        Point(
            window,
            n_events,
            model,
            f"{metric}_at_{k}",
            len(heldout.user_rows),
            *_numbers(metrics[metric], values["popularity"][metric], n_bootstrap, seed),
        )
        for model, metrics in values.items()
        for metric in _METRICS
    ]


def _values(recommender: Recommender, heldout: Heldout, k: int) -> dict[str, Floats]:
    hits = hits_of(recommender.recommend(heldout, k), heldout.relevant)
    n_relevant = np.diff(heldout.relevant.indptr).astype(np.int64)
    return {name: ACCURACY[name](hits, n_relevant) for name in _METRICS}


def _numbers(model: Floats, popularity: Floats, n: int, seed: int) -> tuple[float, float, float, float, float, float]:
    """Return mean, low, high and the ratio to popularity with its low and high; both resample the same users."""
    means, base = bootstrap_means(model, n, seed), bootstrap_means(popularity, n, seed)
    low, high = np.quantile(means, [0.025, 0.975])
    ratios = means / np.maximum(base, 1e-12)
    ratio_low, ratio_high = np.quantile(ratios, [0.025, 0.975])
    ratio = average(model) / max(average(popularity), 1e-12)
    return average(model), float(low), float(high), ratio, float(ratio_low), float(ratio_high)


def _spans(
    dataset: Dataset, positions: NDArray[np.integer], start: NDArray[np.integer], end: NDArray[np.integer]
) -> csr_matrix:
    """Return bool[n, n_items]: the items of events `positions[start[i]:end[i]]` of each row i."""
    lengths = end - start
    rows = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = np.asarray(dataset.events.item)[positions[np.repeat(start, lengths) + within]]
    shape = (len(lengths), len(dataset.items.ids))
    matrix = csr_matrix((np.ones(len(rows), np.int32), (rows, items)), shape=shape)
    matrix.sum_duplicates()
    return matrix.astype(bool)
