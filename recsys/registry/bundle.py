"""The bundle: everything one version serves with, hashed under one name.

Towers, spec, items, user histories, and the blend with its fitted components where the hybrid serves.

User histories hold pseudonyms only.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.features import Dataset, of_present
from recsys.model import ExportedTowers
from recsys.schema import USER_ID
from recsys.scoring import FittedBlend
from recsys.storage import local_path, read_json, read_manifest, verify, write_json

FORMAT = 3  # 2: there may be a blend, 3: it may hold the taste of newcomers; older code would serve neither
_BLEND = "blend"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; without a `blend` the towers serve alone."""

    dataset: Dataset
    towers: ExportedTowers
    info: dict[str, JsonValue]
    blend: FittedBlend | None = None


def write_bundle(
    folder: Path, towers: Path, dataset: Dataset, info: dict[str, JsonValue], blend: FittedBlend | None = None
) -> None:
    """Write a bundle of exported towers, the training set they belong to and a blend into a folder being published."""
    shutil.copytree(towers, folder / "towers", ignore=shutil.ignore_patterns("MANIFEST.json"))
    (folder / "dataset").mkdir()
    # Serving reads encoded demographics; the labels themselves and the consent flags stay behind.
    served = of_present(dataset)
    replace(served, users_frame=served.users_frame.select(USER_ID)).save(folder / "dataset")
    if blend:
        (folder / _BLEND).mkdir()
        blend.save(folder / _BLEND)
    write_json(str(folder / "bundle.json"), {"format": FORMAT if blend else 1, **info})


def load_bundle(uri: str, *, check: bool = True) -> Bundle:
    """Open a published bundle after checking every file's hash; needs no TensorFlow.

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
    return Bundle(dataset, ExportedTowers.load(folder / "towers"), info, blend)
