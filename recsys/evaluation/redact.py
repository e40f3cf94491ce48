"""An evaluation without the values of single users: means stay as they were measured."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.config import Config
from recsys.errors import DataError
from recsys.evaluation.metrics import Bools
from recsys.evaluation.sample import SAMPLE_FILE, ListSample
from recsys.evaluation.users import measured_users
from recsys.features import Dataset, redacted_from
from recsys.storage import local_path, publish, verify

PER_USER: Final = ("per_user.npz", "slices.npz")


def redact_evaluation(
    config: Config, uri: str, dataset: Dataset | None, users: Collection[str], info: Mapping[str, JsonValue]
) -> str:
    """Publish a copy of an evaluation without the values and judged lists of some users; returns its address.

    `dataset` is the one it was measured on, with these users in it; `info` replaces entries of the manifest. Without
    it, as it has lost users since and nobody can tell any more whose value is whose, the copy holds no values of single
    users and no lists. The evaluation it is made from stays until it is collected.
    """
    told, folder = verify(uri).info, local_path(uri)
    measured = None if dataset is None else _measured(config, dataset)
    about = {**told, **info, "redacted_from": redacted_from(told, uri)}
    with publish(uri.rsplit("/", 1)[0], about) as publication:
        for path in sorted(each for each in folder.iterdir() if each.name != "MANIFEST.json"):
            if path.name not in (*PER_USER, SAMPLE_FILE):
                (publication.path / path.name).write_bytes(path.read_bytes())
        if dataset is not None and measured is not None and _is_of(folder, measured):
            gone = dataset.users.ids.to_series().is_in(sorted(users)).to_numpy()
            for name in PER_USER:
                _copy_arrays(folder / name, publication.path / name, ~gone[measured])
            _copy_lists(folder, publication.path, gone)
    return publication.uri


def _measured(config: Config, dataset: Dataset) -> NDArray[np.integer] | None:
    try:
        return np.asarray(measured_users(config, dataset).user_rows)
    except DataError:  # the settings of consent have changed since, and nobody may be measured
        return None


def _is_of(folder: Path, measured: NDArray[np.integer]) -> bool:
    """Tell whether there are arrays and each has one value for each measured user."""
    if not all((folder / name).exists() for name in PER_USER):
        return False
    with np.load(folder / PER_USER[0]) as arrays:
        return all(len(arrays[name]) == len(measured) for name in arrays.files)


def _copy_arrays(path: Path, target: Path, kept: Bools) -> None:
    with np.load(path) as arrays:
        np.savez(target, allow_pickle=False, **{name: arrays[name][kept] for name in arrays.files})


def _copy_lists(folder: Path, target: Path, gone: Bools) -> None:
    """Copy the lists of those who stay; `user_rows` are places in the dataset without the others."""
    if not (folder / SAMPLE_FILE).exists():
        return
    sample = ListSample.load(folder)
    kept = ~gone[sample.user_rows]
    fewer = ListSample(**{name: array[kept] for name, array in vars(sample).items()})
    rows = fewer.user_rows - np.cumsum(gone)[fewer.user_rows]
    replace(fewer, user_rows=rows.astype(sample.user_rows.dtype)).save(target)
