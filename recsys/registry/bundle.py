"""The bundle: everything one version serves with, hashed under one name.

Towers, spec, items, counts by demographic label, and the blend with its fitted components where the hybrid serves. It
holds no user: histories stand in the store of users' states. Where the towers know users by their ids, the spec lists
the pseudonyms of those.
"""

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.features import Dataset, without_people
from recsys.model import ExportedTowers
from recsys.schema import USER_ID
from recsys.scoring import FittedBlend, LabelCounts, TastePrior
from recsys.storage import local_path, read_json, read_manifest, verify, write_json

FORMAT = (
    4  # 2: there may be a blend, 3: it may hold the taste of newcomers, 4: no users; older code would serve neither
)
_BLEND, _COUNTS, _PRIOR = "blend", "label_counts.npz", "prior.npz"
_LAST = "last_second"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; without a `blend` the towers serve alone.

    `dataset` holds items and what was fitted; those of formats before 4, and a training set put in its place, hold
    users too. `prior` is what onboarding starts from, where the blend holds none.
    """

    dataset: Dataset
    towers: ExportedTowers
    info: dict[str, JsonValue]
    blend: FittedBlend | None = None
    counts: LabelCounts | None = None
    prior: TastePrior | None = None

    @cached_property
    def label_counts(self) -> LabelCounts:
        """Return how often people of each label turned to each item."""
        return self.counts or LabelCounts.of(self.dataset)

    @property
    def taste_prior(self) -> TastePrior | None:
        """Return what onboarding starts from, None where it is to be fitted."""
        taste = self.blend.taste if self.blend else None
        return taste.prior if taste else self.prior

    @property
    def last_second(self) -> int:
        """The second of the last event the bundle has learned from."""
        told = self.info.get(_LAST)
        return told if isinstance(told, int) else int(np.max(self.dataset.events.timestamp, initial=0))


def write_bundle(
    folder: Path,
    towers: Path,
    dataset: Dataset,
    info: dict[str, JsonValue],
    blend: FittedBlend | None = None,
    prior: TastePrior | None = None,
) -> None:
    """Write a bundle of exported towers, the training set they belong to and a blend into a folder being published.

    Of the training set's users no row is written.
    """
    shutil.copytree(towers, folder / "towers", ignore=shutil.ignore_patterns("MANIFEST.json"))
    (folder / "dataset").mkdir()
    served = without_people(dataset)
    replace(served, users_frame=served.users_frame.select(USER_ID)).save(folder / "dataset")
    LabelCounts.of(dataset).save(folder / _COUNTS)
    if blend:
        (folder / _BLEND).mkdir()
        blend.save(folder / _BLEND)
    if prior and not (blend and blend.taste):
        prior.save(folder / _PRIOR)
    last = int(np.max(dataset.events.timestamp, initial=0))
    write_json(str(folder / "bundle.json"), {"format": FORMAT, _LAST: last, **info})


def load_bundle(uri: str, *, check: bool = True, threads: int = 2) -> Bundle:
    """Open a published bundle after checking every file's hash; needs no TensorFlow.

    `threads` are those of the towers' runtime.
    Raises StorageError when a file is missing or changed, or the bundle's format is newer than this code.
    """
    if check:
        verify(uri)
    else:
        read_manifest(uri)
    folder = local_path(uri)
    info = read_json(str(folder / "bundle.json"))
    if info["format"] > FORMAT:
        raise StorageError(f"{uri} has bundle format {info['format']}; this code reads up to {FORMAT}: upgrade recsys")
    dataset, blended = Dataset.load(folder / "dataset"), (folder / _BLEND).exists()
    blend = FittedBlend.load(folder / _BLEND, len(dataset.items.ids)) if blended else None
    counts = LabelCounts.load(folder / _COUNTS) if (folder / _COUNTS).exists() else None
    prior = TastePrior.load(folder / _PRIOR) if (folder / _PRIOR).exists() else None
    return Bundle(dataset, ExportedTowers.load(folder / "towers", threads), info, blend, counts, prior)
