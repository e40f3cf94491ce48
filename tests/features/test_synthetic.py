from pathlib import Path

import numpy as np
import pytest

from recsys.features import load_dataset

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_the_data_of_the_speed_benchmark_are_a_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from synthetic import synthetic  # type: ignore[import-not-found]

    synthetic(2000, 50).save(tmp_path)
    made = load_dataset(str(tmp_path))
    assert len(made.items.ids) == 50
    assert set(np.unique(made.events.split)) <= {0, 1, 2}
    assert made.text_model.transform(["any text"]).shape == (1, made.items.text.shape[1])
