"""A bundle without the rows of some users, so that what serves holds nobody who may not be read any more."""

import shutil
from collections.abc import Collection
from dataclasses import replace

from recsys.features import Dataset, redacted
from recsys.schema import USER_ID
from recsys.storage import local_path, publish, verify

_DATASET = "dataset"


def redact_bundle(uri: str, users: Collection[str], before: int | None = None) -> str:
    """Publish a copy of a bundle without some users, and without events before a second; returns its address.

    Towers, items, blend and taste are the same bytes. The bundle it is made from stays until it is collected.
    """
    info, folder = verify(uri).info, local_path(uri)
    dataset = redacted(Dataset.load(folder / _DATASET), users, before)
    with publish(uri.rsplit("/", 1)[0], {**info, "redacted_from": uri.rsplit("/", 1)[-1]}) as publication:
        left_out = shutil.ignore_patterns("MANIFEST.json", _DATASET)
        shutil.copytree(folder, publication.path, ignore=left_out, dirs_exist_ok=True)
        (publication.path / _DATASET).mkdir()
        replace(dataset, users_frame=dataset.users_frame.select(USER_ID)).save(publication.path / _DATASET)
    return publication.uri
