"""A training set without its test days: what a search for settings may see."""

from dataclasses import fields, replace

import numpy as np

from recsys.features.dataset import Dataset, EventArrays
from recsys.features.split import TEST


def without_test(dataset: Dataset) -> Dataset:
    """Return the training set without a single test event; users, items and all that was fitted on train stay."""
    events = dataset.events
    kept = np.asarray(events.split) != TEST
    n_kept_before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    names = [field.name for field in fields(EventArrays) if field.name != "offsets"]
    columns = {name: np.asarray(getattr(events, name))[kept] for name in names}
    return replace(dataset, events=EventArrays(**columns, offsets=n_kept_before[np.asarray(events.offsets)]))
