import shutil
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import StorageError
from recsys.serving import BundleRecommender, Recommendation, check_parity

pytestmark = pytest.mark.slow


class Reversed(BundleRecommender):
    """What a process that disagrees would hold."""

    def recommend(self, *args: Any, **kwargs: Any) -> list[Recommendation]:
        return super().recommend(*args, **kwargs)[::-1]


def test_a_faithful_bundle_repeats_every_list_in_a_fresh_process(place: Any, features: str) -> None:
    assert check_parity(place.bundle, place.index, features, place.open()) == 1.0


def test_lists_in_another_order_are_not_equal(place: Any, features: str) -> None:
    assert (
        check_parity(place.bundle, place.index, features, Reversed.open(place.bundle, place.index, people=place.people))
        == 0.0
    )


def test_a_damaged_bundle_names_the_file(place: Any, features: str, tmp_path: Path) -> None:
    here = place.open()
    shutil.copytree(place.bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "dataset" / "spec.json").unlink()
    with pytest.raises(StorageError, match=r"spec\.json"):
        check_parity(str(tmp_path / "bundle"), place.index, features, here)
