"""What a stage is handed: whole, and made from what the other inputs were made from.

Every published folder names in its manifest what it was built from, by digest. A stage hashes its inputs again before
it reads them, so that a file changed since, or two runs mixed, end here in a sentence.
"""

from typing import TYPE_CHECKING, Any

from recsys.errors import GateError
from recsys.storage import verify

if TYPE_CHECKING:
    from recsys.features import Dataset

Json = dict[str, Any]  # Any: JSON, checked by the models that read it


def digest_at(uri: str) -> str:
    """Return the digest a published folder is named after."""
    return uri.rstrip("/").rsplit("/", 1)[-1]


def built_from(**inputs: str) -> Json:
    """Return manifest info that names the folders something is built from."""
    return {"built_from": {name: digest_at(uri) for name, uri in inputs.items()}}


def check_built_from(uri: str, **inputs: str) -> None:
    """Hash a folder again and hold it to its inputs.

    Raises StorageError when a file was changed, GateError when it was built from others.
    """
    told = verify(uri).info.get("built_from")
    found = told if isinstance(told, dict) else {}
    for name, expected in inputs.items():
        if found.get(name) != digest_at(expected):
            raise GateError(
                f"{uri} was built from {name} {found.get(name, 'unknown')}, but is handed over with {name} "
                f"{digest_at(expected)}: two runs are mixed; clear the run from its training on"
            )


def open_features(uri: str) -> "Dataset":
    """Open a training set after hashing every file of it."""
    from recsys.features import load_dataset

    verify(uri)
    return load_dataset(uri)


def check_trained(trained: Json) -> None:
    """Hold what `train` returned to itself: towers of these features."""
    check_built_from(trained["towers"], features=trained["features"])
