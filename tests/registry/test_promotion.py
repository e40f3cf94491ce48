from dataclasses import replace

import numpy as np
import pytest

from recsys.config import Config, PromotionConfig
from recsys.registry import Evidence, decide_promotion, gate_table

CONFIG = Config(promotion=PromotionConfig(n_bootstrap=200))
N = 200
MODEL = np.random.default_rng(0).uniform(0.2, 0.6, N)


def _evidence(**changes: object) -> Evidence:
    good = Evidence(
        model=MODEL,
        baselines={"random": np.full(N, 0.01), "popularity": MODEL - 0.1},
        champion=None,
        champion_version="",
        index_recall=0.99,
        parity=1.0,
        cold=np.arange(N) < 50,
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def test_a_first_champion_needs_no_predecessor() -> None:
    decision = decide_promotion(CONFIG, _evidence())
    assert decision.promoted
    assert decision.refusal == ""
    assert "there is no champion yet" in gate_table(decision.gates)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"baselines": {"random": MODEL, "popularity": MODEL - 0.1}}, {"beats_random"}),
        ({"baselines": {"random": MODEL - 0.1, "popularity": MODEL + 0.01}}, {"beats_popularity"}),
        ({"model": np.zeros(N)}, {"beats_random", "beats_popularity"}),
        ({"champion": MODEL + 0.1}, {"not_worse_than_champion", "not_worse_for_cold_users"}),
        ({"champion": np.where(np.arange(N) < 50, MODEL + 0.05, MODEL - 0.05)}, {"not_worse_for_cold_users"}),
        ({"champion": MODEL}, set()),
        ({"champion": MODEL - 0.1}, set()),
        ({"champion": MODEL * 1.01}, set()),  # within the tolerance of 2 %
        ({"champion": MODEL * 1.05}, {"not_worse_than_champion", "not_worse_for_cold_users"}),
        ({"index_recall": 0.979}, {"index_recall"}),
        ({"index_recall": float("nan")}, {"index_recall"}),
        ({"parity": 0.96}, {"serving_parity"}),
        ({"index_recall": 0.5, "parity": 0.0}, {"index_recall", "serving_parity"}),
    ],
)
def test_decision_table(changes: dict[str, object], refused: set[str]) -> None:
    decision = decide_promotion(CONFIG, _evidence(**changes))
    assert {gate.name for gate in decision.gates if not gate.passed} == refused
    assert decision.promoted == (not refused)


def test_a_refusal_names_gate_value_and_limit() -> None:
    refusal = decide_promotion(CONFIG, _evidence(index_recall=0.9)).refusal
    assert refusal.startswith("index_recall FAILS: 0.9000 against 0.9800")


def test_the_margin_raises_the_bar_for_the_lower_bound() -> None:
    strict = Config(promotion=PromotionConfig(n_bootstrap=200, margin=0.05, tolerance=0.0))
    assert not decide_promotion(strict, _evidence(champion=MODEL - 0.01)).promoted
    assert decide_promotion(strict, _evidence(champion=MODEL - 0.06)).promoted


def test_the_lift_over_popularity_raises_its_gate() -> None:
    strict = Config(promotion=PromotionConfig(n_bootstrap=200, min_lift_over_popularity=0.2))
    assert "beats_popularity" in decide_promotion(strict, _evidence()).refusal


def test_few_cold_users_decide_nothing() -> None:
    cold = np.arange(N) < 3
    champion = np.where(cold, 1.0, MODEL - 0.1)
    decision = decide_promotion(CONFIG, _evidence(cold=cold, champion=champion))
    (gate,) = [gate for gate in decision.gates if gate.name == "not_worse_for_cold_users"]
    assert gate.passed
    assert "only 3 such users" in gate.detail


def test_users_measured_by_one_side_only_are_left_out() -> None:
    model = MODEL.copy()
    model[:20] = np.nan
    assert decide_promotion(CONFIG, _evidence(model=model, champion=MODEL)).promoted
