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


def test_a_faithful_bundle_repeats_every_list_in_a_fresh_process(place: Any) -> None:
    assert check_parity(place.bundle, place.index, BundleRecommender.open(place.bundle, place.index)) == 1.0


def test_lists_in_another_order_are_not_equal(place: Any) -> None:
    assert check_parity(place.bundle, place.index, Reversed.open(place.bundle, place.index)) == 0.0


def test_a_damaged_bundle_names_the_file(place: Any, tmp_path: Path) -> None:
    here = BundleRecommender.open(place.bundle, place.index)
    shutil.copytree(place.bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "dataset" / "spec.json").unlink()
    with pytest.raises(StorageError, match=r"spec\.json"):
        check_parity(str(tmp_path / "bundle"), place.index, here)
