"""What a stage is handed after the storage root has moved."""

from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.pipeline.addresses import at_present


@at_present
def stage(config: Config, features: str, trained: dict[str, Any], run_name: str = "run") -> dict[str, Any]:
    return {"root": config.storage, "features": features, "trained": trained, "run_name": run_name}


def test_addresses_of_before_a_move_are_those_of_now_by_name_and_inside_results(tmp_path: Path) -> None:
    for name in ("features", "models"):
        (tmp_path / name / "k" / "d").mkdir(parents=True)
    trained = {"towers": "/srv/state/models/k/d", "run_url": "http://host/features/k/d", "recall": 1.0}
    found = stage(Config(storage=str(tmp_path)), "/srv/state/features/k/d", trained, run_name="/srv/features/k/d")
    assert found == {
        "root": str(tmp_path),
        "features": f"{tmp_path}/features/k/d",
        "trained": {**trained, "towers": f"{tmp_path}/models/k/d"},
        "run_name": "/srv/features/k/d",
    }


def test_an_address_that_is_nowhere_stays_for_the_stage_to_name(tmp_path: Path) -> None:
    assert stage(Config(storage=str(tmp_path)), "/srv/state/features/k/d", {})["features"] == "/srv/state/features/k/d"
