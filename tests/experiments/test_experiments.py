"""Assignment, exploration and off-policy estimates, each against what is known to be true."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.experiments import Arm, arm_of, doubly_robust, explored, propensities_of, sample_ratio_p, snips

ARMS = [Arm("champion", 0.6), Arm("challenger", 0.3), Arm("holdout", 0.1)]


def test_a_user_keeps_the_arm_and_shares_are_kept() -> None:
    users = [f"u{n}" for n in range(20_000)]
    arms = [arm_of(user, "one", ARMS) for user in users]
    assert arms == [arm_of(user, "one", ARMS) for user in users]
    counts = {arm.name: arms.count(arm.name) for arm in ARMS}
    assert sample_ratio_p(counts, ARMS) > 0.001
    other = [arm_of(user, "two", ARMS) for user in users]
    both = np.mean([a == b for a, b in zip(arms, other, strict=True)])
    assert both == pytest.approx(0.36 + 0.09 + 0.01, abs=0.02)  # independent of each other
    with pytest.raises(ValueError, match="sum to 1"):
        arm_of("u", "one", ARMS[:2])


def test_a_broken_assignment_is_noticed() -> None:
    assert sample_ratio_p({"champion": 6_300, "challenger": 2_700, "holdout": 1_000}, ARMS) < 0.001
    assert sample_ratio_p({"champion": 10}, [Arm("champion", 1.0)]) == 1.0
    with pytest.raises(ValueError, match="no arms x"):
        sample_ratio_p({"x": 1}, ARMS)
    with pytest.raises(ValueError, match="no user"):
        sample_ratio_p({}, ARMS)


def test_lists_are_drawn_as_often_as_their_propensities_say() -> None:
    scores, generator, n = np.array([2.0, 1.0, 0.5, 0.0]), np.random.default_rng(3), 40_000
    seen: dict[tuple[int, ...], int] = {}
    for _ in range(n):
        drawn, _ = explored(scores, 2, 0.7, generator)
        seen[tuple(drawn.tolist())] = seen.get(tuple(drawn.tolist()), 0) + 1
    chances = {pair: float(propensities_of(scores, np.array(pair), 0.7).prod()) for pair in permutations(range(4), 2)}
    assert sum(chances.values()) == pytest.approx(1.0)
    for pair, chance in chances.items():
        assert seen.get(pair, 0) / n == pytest.approx(chance, abs=4 * np.sqrt(chance / n))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.integers(1, 25), st.floats(0.01, 10))
def test_propensities_are_chances(scores: list[float], k: int, temperature: float) -> None:
    drawn, chances = explored(np.array(scores), k, temperature, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn.tolist())) == min(k, len(scores)) == len(chances)
    assert ((chances >= 0) & (chances <= 1)).all()  # far from the best a chance may be too small for a float
    if len(drawn) == len(scores):
        assert chances[-1] == pytest.approx(1.0)


def test_without_temperature_the_best_stand_in_order() -> None:
    drawn, chances = explored(np.array([1.0, 3.0, 2.0]), 2, 0.0, np.random.default_rng(0))
    assert drawn.tolist() == [1, 2] and chances.tolist() == [1.0, 1.0]
    for scores, temperature in (([np.nan], 1.0), ([1.0], -1.0)):
        with pytest.raises(ValueError, match="must be"):
            explored(np.array(scores), 1, temperature, np.random.default_rng(0))


def world(generator: np.random.Generator, n_users: int = 300, n_rows: int = 20) -> dict[str, np.ndarray]:
    """Return logs of a softmax policy over ten items for users of different tastes, and a challenger's true value."""
    taste = generator.normal(size=(n_users, 10))
    logging = softmax(0.5 * taste + generator.normal(size=taste.shape) * 0.5)
    target = softmax(1.5 * taste)
    reward = 1 / (1 + np.exp(-taste))
    users = np.repeat(np.arange(n_users), n_rows)
    shown = np.array([generator.choice(10, p=logging[user]) for user in users])
    model = reward + generator.normal(size=reward.shape) * 0.1  # a reward model that is wrong
    return {
        "rewards": (generator.random(len(users)) < reward[users, shown]).astype(float),
        "propensities": logging[users, shown], "target": target[users, shown], "users": users,
        "predicted": model[users, shown], "predicted_target": (target * model).sum(axis=1)[users],
        "truth": np.array((target * reward).sum(axis=1).mean()),
    }  # fmt: skip


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@pytest.mark.slow
def test_the_true_value_lies_in_the_interval_of_95_percent() -> None:
    inside, widths = {"snips": 0, "robust": 0, "naive": 0}, {"snips": 0.0, "robust": 0.0}
    # Users' own values spread too, so the truth is that of all users who might have come.
    truth = float(np.mean([world(np.random.default_rng(1_000 + n), 2_000, 1)["truth"] for n in range(20)]))
    for seed in range(200):
        log = world(np.random.default_rng(seed))
        arguments = (log["rewards"], log["propensities"], log["target"], log["users"])
        for name, found in (
            ("snips", snips(*arguments)),
            ("robust", doubly_robust(*arguments, log["predicted"], log["predicted_target"])),
        ):
            inside[name] += found.low <= truth <= found.high
            widths[name] += found.high - found.low
        rows = log["rewards"]
        inside["naive"] += abs(rows.mean() - truth) < 2 * rows.std() / np.sqrt(len(rows))
    assert inside["snips"] >= 180 and inside["robust"] >= 180 > inside["naive"]
    assert widths["robust"] < widths["snips"]


def test_estimates_of_the_logging_policy_are_its_mean() -> None:
    log = world(np.random.default_rng(5))
    same = (log["rewards"], log["propensities"], log["propensities"], log["users"])
    assert snips(*same).mean == pytest.approx(log["rewards"].mean())
    assert snips(*same).effective == pytest.approx(len(log["users"]))
    exact = doubly_robust(*same, log["rewards"], np.full(len(log["users"]), 0.3))
    assert exact.mean == pytest.approx(0.3) and exact.low == pytest.approx(exact.high)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"propensities": np.zeros(4)}, "propensities must lie"), ({"target": np.zeros(4)}, "never shows"),
     ({"target": np.full(4, 2.0)}, "chances must lie"), ({"users": np.zeros(4, int)}, "at least two users"),
     ({"rewards": np.ones(3)}, "one shape")],
)  # fmt: skip
def test_logs_that_say_nothing_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    log = {"rewards": np.ones(4), "propensities": np.full(4, 0.5), "target": np.full(4, 0.5), "users": np.arange(4)}
    with pytest.raises(ValueError, match=words):
        snips(**{**log, **change})
