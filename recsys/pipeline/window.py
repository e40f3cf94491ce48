"""How far back a training should learn from: after a shift of tastes, what people did before it misleads."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from recsys.config import Config

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys.features import Dataset

Json = dict[str, Any]  # Any: JSON
_DAY_S = 86_400
_WINDOWS = (1, 2, 4, 8)  # in lengths of the window that monitoring watches
_K = 10
_ERRORS = 2.0


def choose_fit_days(config: Config, dataset: "Dataset") -> tuple[int, dict[int, float]]:
    """Return the days to learn from (0: all) that validation asks for, and item-kNN's nDCG@10 there of each.

    Item-kNN costs seconds and follows a shift as the towers do: it is fitted on the positives of each window before
    validation and ranks for users by what they did inside the window. All events are learned from unless a window is
    better by more than two standard errors of the users' differences.
    """
    from recsys.evaluation.metrics import ndcg_at_k
    from recsys.evaluation.users import hits_of
    from recsys.features import VALIDATION, heldout
    from recsys.scoring import ItemKnn, recommendable_items
    from recsys.scoring.baselines import consumption

    users = heldout(dataset, VALIDATION)
    there, end = recommendable_items(dataset, VALIDATION), _end(dataset)
    n_relevant = np.diff(users.relevant.indptr).astype(np.int64)
    values: dict[int, NDArray[np.float64]] = {}
    for days in (0, *sorted((config.monitoring.window_days * each for each in _WINDOWS), reverse=True)):
        known = _since(dataset, end - days * _DAY_S if days else None)
        if not known.events.positive[np.asarray(known.events.split) < VALIDATION].any():
            continue
        own = csr_matrix(consumption(known, VALIDATION)[users.user_rows].astype(bool))
        asked = replace(users, seen=own)
        lists = ItemKnn(known, there, VALIDATION, config.evaluation.knn_neighbours).recommend(asked, _K)
        values[days] = ndcg_at_k(hits_of(lists, users.relevant), n_relevant)
    means = {days: float(each.mean()) for days, each in values.items()}
    best = max(means, key=lambda days: means[days], default=0)
    return (best if 0 not in values or _is_better(values[best], values[0]) else 0), means


def _is_better(values: "NDArray[np.float64]", others: "NDArray[np.float64]") -> bool:
    difference = values - others
    error = float(difference.std(ddof=1) / np.sqrt(difference.size)) if difference.size > 1 else np.inf
    return bool(difference.mean() > _ERRORS * error)


def _since(dataset: "Dataset", second: int | None) -> "Dataset":
    if second is None:
        return dataset
    events = dataset.events
    positive = np.asarray(events.positive) & (np.asarray(events.timestamp) >= second)
    return replace(dataset, events=replace(events, positive=positive))


def _end(dataset: "Dataset") -> int:
    last = int(np.max(dataset.events.timestamp))
    return last - last % _DAY_S + _DAY_S
