from datetime import date

import pytest

from recsys.config import Config, MonitoringConfig
from recsys.monitoring import Signal, decide

CONFIG = Config(monitoring=MonitoringConfig(min_signals=2, cooldown_days=3, min_events=100))


def _signal(kind: str, fired: bool = True, name: str = "a") -> Signal:
    return Signal(f"{name}_{kind}", kind, 0.5, 0.25, fired, 0.6, 0.1, 0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("signals", "n_events", "age_days", "retrain", "word"),
    [
        ([_signal("taste"), _signal("data")], 100, 3, True, "above its limit"),
        ([_signal("quality"), _signal("data")], 100, 3, True, "above its limit"),
        ([_signal("quality"), _signal("taste")], 100, 3, True, "above its limit"),
        ([_signal("data"), _signal("data", name="another")], 100, 3, False, "no signal about taste or quality"),
        ([_signal("taste"), _signal("data", fired=False)], 100, 3, False, "1 of 2 measures fired"),
        ([], 100, 3, False, "0 of 0 measures fired"),
        ([_signal("taste"), _signal("data")], 100, 2, False, "younger than the cooldown of 3"),
        ([_signal("taste"), _signal("data")], 100, -1, False, "younger than the cooldown of 3"),
        ([_signal("taste"), _signal("data")], 99, 3, False, "too little data: 99"),
    ],
)
def test_decision_table(signals: list[Signal], n_events: int, age_days: int, retrain: bool, word: str) -> None:
    decision = decide(CONFIG, signals, n_events, date(2026, 1, 10), date(2026, 1, 10 + age_days))
    assert decision.retrain is retrain
    assert any(word in reason for reason in decision.reasons)
    assert decision.cooldown_active is (n_events >= 100 and age_days < 3)
    assert decision.too_little_data is (n_events < 100)


def test_one_signal_is_enough_where_config_says_so() -> None:
    eager = CONFIG.model_copy(update={"monitoring": CONFIG.monitoring.model_copy(update={"min_signals": 1})})
    assert decide(eager, [_signal("quality")], 100, date(2026, 1, 1), date(2026, 1, 9)).retrain


def test_two_views_of_one_measure_are_one_piece_of_evidence() -> None:
    def fired(name: str) -> Signal:
        return Signal(name, "taste", 0.5, 0.25, True, 0.6, 0.1, 0.2)

    views = [fired("category_mix"), fired("category_mix_by_segment")]
    decision = decide(CONFIG, views, 100, date(2026, 1, 1), date(2026, 1, 9))
    assert not decision.retrain
    assert "1 of 1 measures fired, at least 2 are needed" in decision.reasons
    assert decide(CONFIG, [*views, fired("embedding_shift")], 100, date(2026, 1, 1), date(2026, 1, 9)).retrain
