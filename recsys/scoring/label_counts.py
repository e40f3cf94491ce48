"""What people of each demographic label turned to, as counts that name nobody: what reasons are said from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.errors import StorageError
from recsys.features import Dataset

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class LabelCounts:
    """Positive events of items int64[n_items], of everybody and by the labels of each demographic column.

    `by_label` holds for each column int32[1 + n_labels, n_items], row 0 for an unknown label; `totals` the sums of its
    rows.
    """

    overall: Counts
    by_label: list[csr_array]
    totals: list[Counts]

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Count the positive events of a training set."""
        events, users, n_items = dataset.events, dataset.users, len(dataset.items.ids)
        positive = np.asarray(events.positive)
        owner = np.repeat(np.arange(len(users.ids)), np.diff(events.offsets))[positive]
        items = np.asarray(events.item)[positive]
        by_label: list[csr_array] = []
        totals: list[Counts] = []
        for place, vocabulary in enumerate(dataset.spec.demographic_vocabs.values()):
            labels = np.asarray(users.demographics)[owner, place]
            shape = (len(vocabulary) + 1, n_items)
            by_label.append(csr_array((np.ones(len(items), np.int32), (labels, items)), shape=shape))
            totals.append(np.bincount(labels, minlength=shape[0]).astype(np.int64))
        return cls(np.bincount(items, minlength=n_items).astype(np.int64), by_label, totals)

    def save(self, path: Path) -> None:
        """Write one `.npz` file."""
        arrays: dict[str, NDArray[np.generic]] = {"overall": self.overall}
        for place, (counts, totals) in enumerate(zip(self.by_label, self.totals, strict=True)):
            parts = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr, "totals": totals}
            arrays |= {f"{name}_{place}": part for name, part in parts.items()}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raise StorageError when it is missing or damaged."""
        try:
            with np.load(path) as arrays:
                overall = arrays["overall"]
                by_label: list[csr_array] = []
                totals: list[Counts] = []
                while f"totals_{len(totals)}" in arrays:
                    data, indices, indptr, sums = (
                        arrays[f"{name}_{len(totals)}"] for name in ("data", "indices", "indptr", "totals")
                    )
                    by_label.append(csr_array((data, indices, indptr), shape=(len(indptr) - 1, len(overall))))
                    totals.append(sums)
                return cls(overall, by_label, totals)
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise StorageError(
                f"cannot read the counts by label {path.name}: {error}; register the version again"
            ) from error
