import importlib
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recsys.config import Config, EvaluationConfig
from recsys.errors import RecsysError
from recsys.evaluation import (
    ServedModel,
    embedding_projection,
    evaluate,
    evaluate_champion,
    learning_curve,
    measured_users,
    metrics_against_baselines,
    recall_by_popularity_decile,
)
from recsys.evaluation.users import hits_of

CONFIG = Config(evaluation=EvaluationConfig(ks=(1, 2, 10), main_metric="ndcg_at_2"))


def test_a_perfect_model_scores_one_and_beats_every_baseline(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, world, oracle(world))
    assert report.metrics["two_tower"]["ndcg_at_2"] == pytest.approx(1.0)
    assert report.metrics["two_tower"]["recall_at_10"] == pytest.approx(1.0)
    assert set(report.lifts) == {"random", "popularity", "recent_popularity", "item_knn"}
    assert report.lifts["popularity"][0] == pytest.approx(1.0 - report.metrics["popularity"]["ndcg_at_2"], abs=1e-12)


def test_popularity_metrics_by_hand(world: Any, oracle: Any) -> None:
    # lists of two [2 3] [3 4] [1 2] [1 3] [0 1]; relevant {2} {5} {2 4} {3} {0}
    report = evaluate(CONFIG, world, oracle(world))
    second = 1 / np.log2(3)
    expected = [1.0, 0.0, second / (1 + second), second, 1.0]
    assert report.per_user["popularity"] == pytest.approx(expected)
    assert report.metrics["popularity"]["ndcg_at_2"] == pytest.approx(np.mean(expected))
    assert report.metrics["popularity"]["hit_rate_at_1"] == pytest.approx(2 / 5)
    assert report.metrics["popularity"]["recall_at_2"] == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)


def test_cold_and_warm_are_reported_apart(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, world, oracle(world))
    popularity = {name: models["popularity"] for name, models in report.slices.items()}
    assert popularity["cold_users"]["n_users"] == 1
    assert popularity["cold_users"]["ndcg_at_2"] == 1.0
    assert popularity["warm_users"]["n_users"] == 4
    # cold items are 2, 3, 4 and 5 (no train event): users 0 to 3 want one or two of them
    assert popularity["cold_items"]["n_users"] == 4
    assert popularity["cold_items"]["recall_at_2"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert popularity["warm_items"] == {"ndcg_at_2": 1.0, "recall_at_2": 1.0, "hit_rate_at_2": 1.0, "n_users": 1.0}


def test_groups_carry_counts_and_intervals(world: Any, oracle: Any) -> None:
    groups = evaluate(CONFIG, world, oracle(world)).groups["age"]
    assert {label: numbers["n_users"] for label, numbers in groups.items()} == {"unknown": 2, "18-24": 2, "25-34": 1}
    assert groups["18-24"]["ndcg"] == groups["18-24"]["low"] == groups["18-24"]["high"] == 1.0


def test_deciles_hold_recall_of_their_items(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, world, oracle(world))
    assert sum(report.decile_counts) == report.counts["n_relevant"] == 6
    assert report.results["two_tower"].deciles[9] == 1.0  # item 0, the most popular, wanted by user 4
    assert report.results["popularity"].deciles[4 - 1] is None or report.decile_counts[3] > 0


def test_a_k_beyond_the_catalogue_is_cut_and_said(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, world, oracle(world))
    assert report.cut_offs == {1: 1, 2: 2, 10: 6}
    assert report.metrics["random"]["coverage_at_10"] == 1.0


def test_users_are_drawn_by_seed_and_models_share_them(world: Any, oracle: Any) -> None:
    few = CONFIG.model_copy(update={"evaluation": CONFIG.evaluation.model_copy(update={"max_users": 2})})
    report = evaluate(few, world, oracle(world))
    assert report.user_rows.tolist() == evaluate(few, world, oracle(world)).user_rows.tolist()
    assert {len(values) for values in report.per_user.values()} == {2}


def test_items_consumed_before_are_not_relevant_again(make_world: Any) -> None:
    world = make_world([(0, 0, 1, 0), (0, 0, 20, 2), (0, 1, 21, 2), (1, 0, 1, 0), (1, 0, 20, 2)], 2, 3).build()
    users = measured_users(CONFIG, world)
    assert users.relevant.toarray().sum() == 1


def test_users_without_a_new_item_are_left_out_and_counted(make_world: Any, oracle: Any) -> None:
    world = make_world([(0, 0, 1, 0), (0, 1, 21, 2), (1, 0, 1, 0), (1, 0, 20, 2)], 2, 3).build()
    counts = evaluate(CONFIG, world, oracle(world)).counts
    assert (counts["n_users"], counts["n_users_without_relevant"]) == (1, 1)


def test_nobody_to_measure_is_an_error(make_world: Any) -> None:
    world = make_world([(0, 0, 1, 0), (0, 0, 20, 2)], 1, 2).build()
    with pytest.raises(RecsysError, match="split 2 must hold a user with a new positive item"):
        measured_users(CONFIG, world)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (1.0, "same score")])
def test_broken_towers_are_refused(world: Any, oracle: Any, value: float, message: str) -> None:
    towers = oracle(world)
    towers.item_vectors = np.full((6, 6), value, np.float32)
    with pytest.raises(RecsysError, match=message):
        evaluate(CONFIG, world, towers)


def test_hits_are_found_wherever_they_stand(world: Any) -> None:
    users = measured_users(CONFIG, world)
    items = np.tile(np.array([2, -1, 4], np.int32), (5, 1))
    dense = users.relevant.toarray()
    assert hits_of(items, users.relevant).tolist() == [[bool(row[2]), False, bool(row[4])] for row in dense]


def test_an_older_champion_is_measured_on_the_same_users(
    world: Any, oracle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.import_module("recsys.evaluation.evaluate"), "reindex", lambda dataset, spec, text_model: dataset
    )
    towers = oracle(world)
    encoded = towers.item_vectors
    towers.item_vectors = towers.history_vectors = encoded[:2]  # the champion's own catalogue was smaller
    towers.encode_items = lambda items: (encoded, encoded)
    served = ServedModel(SimpleNamespace(history_since=""), None, world.items.ids[:2].tolist(), towers)  # type: ignore[arg-type]
    result = evaluate_champion(CONFIG, world, served)
    assert result.name == "champion"
    assert result.per_user == pytest.approx(np.ones(5))


def test_the_report_is_plain_json(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, world, oracle(world))
    read = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read["metrics"]["two_tower"]["ndcg_at_2"] == pytest.approx(1.0)
    assert read["cut_offs"] == {"1": 1, "2": 2, "10": 6}
    assert read["counts"]["n_users"] == 5


def test_plots_show_every_model_with_titled_axes(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, world, oracle(world))
    bars = metrics_against_baselines(report)
    deciles = recall_by_popularity_decile(report)
    for figure in (bars, deciles):
        figure.canvas.draw()
        (axes,) = figure.axes
        assert axes.get_title(loc="left")
        assert axes.get_ylabel()
        assert len(axes.get_legend().get_texts()) == 5


def test_learning_curve_marks_the_best_epoch() -> None:
    history = [{"epoch": 1, "loss": 2.0, "ndcg_at_10": 0.1}, {"epoch": 2, "loss": 1.0, "ndcg_at_10": 0.3}]
    figure = learning_curve(history)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[1].texts] == ["best 0.3000"]
    assert learning_curve([]).axes


def test_embedding_projection_separates_what_the_first_component_separates() -> None:
    vectors = np.array([[5.0, 0, 0], [5, 0.1, 0], [-5, 0, 0], [-5, 0.1, 0]], np.float32)
    figure = embedding_projection(vectors, ["a", "a", "b", "b"])
    figure.canvas.draw()
    a, b = (collection.get_offsets()[:, 0] for collection in figure.axes[0].collections)
    assert max(a.min(), b.min()) > min(a.max(), b.max())
    with pytest.raises(ValueError, match="categories must have 4 entries; got 1"):
        embedding_projection(vectors, ["a"])
    embedding_projection(np.ones((1, 1), np.float32), [""]).canvas.draw()
