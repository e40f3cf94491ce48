"""The towers' inputs, made from a dataset's arrays; alike in training, evaluation and serving."""

import numpy as np
from numpy.typing import NDArray

from recsys.features import Dataset, ItemArrays, context_of, histories


def item_inputs(items: ItemArrays, rows: NDArray[np.integer] | slice = slice(None)) -> dict[str, NDArray[np.generic]]:
    """Return the item tower's inputs for item rows."""
    return {
        "id": np.asarray(items.vocab[rows], np.int32),
        "categories": np.asarray(items.categories[rows], np.int32),
        "creator": np.asarray(items.creator[rows], np.int32),
        "language": np.asarray(items.language[rows], np.int32),
        "text": np.asarray(items.text[rows], np.float32),
        "numeric": np.asarray(items.numeric[rows], np.float32),
    }


def query_inputs(
    dataset: Dataset,
    user_rows: NDArray[np.integer],
    history_end: NDArray[np.integer],
    query_time: NDArray[np.integer],
    device: NDArray[np.integer],
    length: int,
) -> dict[str, NDArray[np.int32]]:
    """Return the query tower's inputs, with `history` int32[B, L] as 1 + item row (0 padding) in place of vectors."""
    past = histories(dataset, user_rows, history_end, query_time, length)
    return {
        "history": past.items + np.int32(1),
        "history_kinds": past.kinds,
        "history_ages": past.ages,
        "history_gaps": past.gaps,
        "user": np.asarray(dataset.users.vocab[user_rows], np.int32),
        "demographics": np.asarray(dataset.users.demographics[user_rows], np.int32),
        "context": context_of(query_time, device, timed=dataset.spec.timed),
    }
