"""A bundle without the rows of some users, so that what serves holds nobody who may not be read any more."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from recsys.features import REMOVED, Dataset, redacted, redacted_from
from recsys.model import QUERY_FILE
from recsys.model.redact import forget_rows
from recsys.schema import USER_ID
from recsys.storage import local_path, publish, verify

_DATASET = "dataset"


def redact_bundle(
    uri: str,
    users: Collection[str],
    before: int | None = None,
    *,
    forget: bool = False,
    info: Mapping[str, JsonValue] | None = None,
) -> str:
    """Publish a copy of a bundle without some users, and without events before a second; returns its address.

    Items, blend and taste are the same bytes, and so are the towers, unless they are to `forget`: then the rows of all
    users who were taken out of the vocabulary, now or before, become zeros. `info` replaces entries of the manifest.
    The bundle it is made from stays until it is collected.
    """
    told, folder = verify(uri).info, local_path(uri)
    about = {**told, **(info or {}), "redacted_from": redacted_from(told, uri)}
    dataset = redacted(Dataset.load(folder / _DATASET), users, before)
    with publish(uri.rsplit("/", 1)[0], about) as publication:
        left_out = shutil.ignore_patterns("MANIFEST.json", _DATASET)
        shutil.copytree(folder, publication.path, ignore=left_out, dirs_exist_ok=True)
        (publication.path / _DATASET).mkdir()
        replace(dataset, users_frame=dataset.users_frame.select(USER_ID)).save(publication.path / _DATASET)
        if forget:
            forget_rows(publication.path / "towers" / QUERY_FILE, removed_places(dataset.spec.user_vocab))
    return publication.uri


def removed_places(vocabulary: Sequence[str]) -> list[int]:
    """Return the places, from 1, of users who were taken out of a vocabulary: their rows in the users' table."""
    return [place for place, user in enumerate(vocabulary, 1) if user.startswith(REMOVED)]
