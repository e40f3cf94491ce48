"""One model's lists on one set of held-out users: every metric per user, and what the lists are like."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation import lists
from recsys.evaluation.metrics import ACCURACY, Bools, Floats, Ints, full_recall_at_k
from recsys.evaluation.users import hits_of, item_slices
from recsys.features import Dataset, Heldout, content_vectors

RECALL = "recall"
FULL_RECALL = "full_recall"


@dataclass(frozen=True)
class Measured:
    """`values` maps `<metric>_at_<k>` to float64[n_users], NaN without a relevant item; `of_items` does so for cold
    and warm items, as if there were no others to find; `traits` maps coverage, novelty, diversity and popularity bias
    to one number per k.
    """

    values: dict[str, Floats]
    of_items: dict[str, dict[str, Floats]]
    traits: dict[str, float]


def measure(
    dataset: Dataset,
    users: Heldout,
    items: NDArray[np.int32],
    ks: tuple[int, ...],
    *,
    n_recommendable: int,
    full_recall: bool,
) -> Measured:
    """Measure lists int32[n_users, max(ks)] of item rows, -1 as padding, aligned with `users`.

    `full_recall` divides recall by all relevant items, not by `min(k, relevant)`; `full_recall_at_k` always does.
    """
    hits = hits_of(items, users.relevant)
    n_relevant = np.diff(users.relevant.indptr).astype(np.int64)
    of_items = {}
    for name, mask in item_slices(dataset).items():
        inside: Ints = np.asarray(users.relevant[:, mask].sum(axis=1)).ravel().astype(np.int64)
        of_items[name] = accuracy(hits & mask[items], inside, ks, full_recall=full_recall)
    counts, content = np.asarray(dataset.items.train_count), partial(content_vectors, dataset)
    traits = {
        f"{name}_at_{k}": value
        for k in ks
        for name, value in lists.averages(items[:, :k], n_recommendable, counts, content).items()
    }
    return Measured(accuracy(hits, n_relevant, ks, full_recall=full_recall), of_items, traits)


def accuracy(hits: Bools, n_relevant: Ints, ks: tuple[int, ...], *, full_recall: bool) -> dict[str, Floats]:
    """Return every accuracy metric at every k, one value per user, from `hits` bool[n_users, max(ks)]."""
    functions = {**ACCURACY, FULL_RECALL: full_recall_at_k}
    if full_recall:
        functions[RECALL] = full_recall_at_k
    return {f"{name}_at_{k}": function(hits[:, :k], n_relevant) for k in ks for name, function in functions.items()}
