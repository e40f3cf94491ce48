from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.config import Config, ModelConfig, TuningConfig, load_config
from recsys.errors import ConfigError
from recsys.space import Choice, FloatRange, IntRange


def _config(**space: Any) -> Config:
    return Config.model_validate({"tuning": {"space": space}})


def test_the_default_space_searches_settings_of_the_model() -> None:
    assert set(TuningConfig().space) == {"learning_rate", "l2", "dropout", "history_dropout", "dim"}
    assert set(TuningConfig().space) <= set(ModelConfig.model_fields)


def test_a_space_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "[tuning]\nn_trials = 3\n[tuning.space]\n"
        'learning_rate = { kind = "float", low = 1e-4, high = 1e-2, log = true }\n'
        'epochs = { kind = "int", low = 2, high = 8, step = 2 }\n'
        'loss = { kind = "choice", values = ["full", "sampled"] }\n'
    )
    assert load_config(path).tuning.space == {
        "learning_rate": FloatRange(low=1e-4, high=1e-2, log=True),
        "epochs": IntRange(low=2, high=8, step=2),
        "loss": Choice(values=("full", "sampled")),
    }


@pytest.mark.parametrize(
    ("name", "domain", "message"),
    [
        ("learning_rat", {"kind": "float", "low": 1, "high": 2}, "learning_rat is no setting"),
        ("seed", {"kind": "int", "low": 1, "high": 2}, "seed is no setting"),
        ("dropout", {"kind": "float", "low": 0.1, "high": 1.5}, "dropout reaches 1.5, which .* refuses"),
        ("dim", {"kind": "choice", "values": [2, 64]}, "dim reaches 2, which .* refuses"),
        ("loss", {"kind": "choice", "values": ["full", "none"]}, "loss reaches 'none', which .* refuses"),
        ("epochs", {"kind": "float", "low": 2, "high": 8}, "counts whole numbers"),
        ("dropout", {"kind": "float", "low": 0.5, "high": 0.1}, "low must be below high"),
        ("l2", {"kind": "float", "low": 0, "high": 1e-3, "log": True}, "above 0 with log"),
        ("epochs", {"kind": "int", "low": 2, "high": 7, "step": 2}, "multiple of step"),
        ("dropout", {"low": 0.1, "high": 0.5}, "kind"),
    ],
)
def test_a_space_outside_the_models_bounds_is_refused_when_the_configuration_is_read(
    tmp_path: Path, name: str, domain: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        _config(**{name: domain})
    path = tmp_path / "my.toml"
    items = ", ".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in domain.items()
    )
    path.write_text(f"[tuning.space]\n{name} = {{ {items} }}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(path)


@given(st.integers(-50, 50), st.integers(1, 9), st.integers(1, 9), st.integers(-100, 100))
def test_an_int_range_holds_exactly_its_steps(low: int, step: int, n_steps: int, value: int) -> None:
    domain = IntRange(low=low, high=low + step * n_steps, step=step)
    assert domain.holds(value) == (value in range(low, low + step * n_steps + 1, step))


@given(st.floats(0.0, 0.4), st.floats(0.5, 0.9), st.floats(-1, 2))
def test_a_float_range_holds_what_lies_between_its_edges(low: float, high: float, value: float) -> None:
    domain = FloatRange(low=low, high=high)
    assert all(domain.holds(edge) for edge in domain.edges)
    assert domain.holds(value) == (low <= value <= high)


def test_vectors_widen_with_the_catalogue_unless_a_width_is_given() -> None:
    widths = [ModelConfig().width(n) for n in (100, 20_000, 20_001, 50_000, 50_001, 99_999, 100_000, 1_000_000)]
    assert widths == [64, 64, 256, 256, 128, 128, 64, 64]
    assert ModelConfig(dim=32).width(50_000) == 32
    with pytest.raises(ValidationError, match="0 .by the catalogue. or 4 to 256"):
        ModelConfig(dim=3)


def test_a_small_catalogue_is_scored_whole_unless_told_otherwise() -> None:
    assert [ModelConfig().scores_all(n) for n in (5_000, 5_001)] == [True, False]
    assert ModelConfig(loss="full").scores_all(1_000_000)
    assert not ModelConfig(loss="sampled").scores_all(10)
