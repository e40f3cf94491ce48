import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.errors import StorageError
from recsys.model import ExportedTowers
from recsys.serving import check_parity


def test_a_faithful_bundle_repeats_every_list_in_a_fresh_process(place: Any) -> None:
    users = place.dataset.users.ids[:12].tolist()
    towers = ExportedTowers.load(place.towers)
    result = check_parity(str(place.bundle), str(place.index), place.dataset, towers, users)
    assert result["parity"] == 1.0
    assert result["n_users"] == 12
    assert result["max_vector_difference"] < 1e-5  # type: ignore[operator]


def test_a_bundle_with_other_item_ids_or_histories_is_found_out(place: Any) -> None:
    towers = ExportedTowers.load(place.towers)
    users = place.dataset.users.ids[:5].tolist()
    shuffled = replace(place.dataset.items, ids=place.dataset.items.ids[::-1].copy())
    other = replace(place.dataset, items=shuffled)
    assert check_parity(str(place.bundle), str(place.index), other, towers, users)["parity"] == 0.0
    events = replace(place.dataset.events, item=np.roll(place.dataset.events.item, 1))
    other = replace(place.dataset, events=events)
    assert check_parity(str(place.bundle), str(place.index), other, towers, users)["parity"] < 1.0  # type: ignore[operator]


def test_a_damaged_bundle_names_the_file(place: Any, tmp_path: Path) -> None:
    shutil.copytree(place.bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "spec.json").unlink()
    towers = ExportedTowers.load(place.towers)
    with pytest.raises(StorageError, match=r"spec\.json"):
        check_parity(str(tmp_path / "bundle"), str(place.index), place.dataset, towers, ["u001"])
