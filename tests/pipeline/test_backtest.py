"""`recsys backtest` from files to its report, and everything that must stop it."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys.cli import main
from recsys.errors import StorageError
from recsys.pipeline.backtest_report import check_folder

SETTINGS = """
name = "tiny"
storage = "{folder}/state"
[source]
kind = "files"
[source.interactions]
uri = "{folder}/events.csv"
timestamp_unit = "s"
[source.users]
uri = "{folder}/users.csv"
[privacy]
consent_missing = "allow"
[features]
min_item_events = 1
min_user_events = 1
text_dim = 2
[evaluation]
knn_neighbours = 5
recent_days = 9999
[model]
{model}
[backtest]
ease_l2 = 1.0
n_bootstrap = 200
{backtest}
"""
BASELINES = 'protocol = "leave_one_out"\nmodels = ["ease", "item_knn", "popularity", "random"]\nks = [3, 5]\n'
MAIN = 'main_metric = "ndcg_at_5"\n'


def write_world(folder: Path) -> None:
    """60 users keep to the ten items of one of three tastes, each in an order of their own."""
    generator = np.random.default_rng(4)
    rows = []
    for user in range(60):
        for place, item in enumerate(generator.permutation(10)[:7]):
            rows.append((f"u{user:02d}", f"i{user % 3}{item}", "view", user * 100_000 + place * 3600))
    pl.DataFrame(rows, schema=["user_id", "item_id", "event", "timestamp"], orient="row").write_csv(
        folder / "events.csv"
    )
    people = [(f"u{user:02d}", "fm"[user % 2], 20 + user) for user in range(60)]
    pl.DataFrame(people, schema=["user_id", "gender", "age"], orient="row").write_csv(folder / "users.csv")


@pytest.fixture
def backtest(tmp_path, monkeypatch, capsys):
    """Run the command line on the small world; returns exit code, standard error and the report's folder."""
    write_world(tmp_path)

    def run(settings: str = BASELINES + MAIN, model: str = "") -> tuple[int, str, Path]:
        config, out = tmp_path / "c.toml", tmp_path / "out"
        config.write_text(SETTINGS.format(folder=tmp_path, backtest=settings, model=model))
        monkeypatch.setattr(sys, "argv", ["recsys", "backtest", "--config", str(config), "--out", str(out)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), " ".join(capsys.readouterr().err.split()), out

    return run


def rescored(out: Path, source: str, k: int, seed: int, fold: str = "0") -> dict[str, float]:
    """Recall, nDCG, hit rate and MRR at k from the written files alone, by their definitions."""
    lists = pl.read_parquet(out / "recommendations.parquet").filter(
        (pl.col("source") == source) & (pl.col("seed") == seed) & (pl.col("fold") == fold) & (pl.col("rank") <= k)
    )
    found: dict[str, list[float]] = {"recall": [], "ndcg": [], "hit_rate": [], "mrr": []}
    truth = pl.read_parquet(out / "heldout.parquet").filter(pl.col("fold") == fold)
    for (user,), own in truth.group_by("user_id"):
        relevant = set(own["item_id"])
        ranks = [rank for item, rank in lists.filter(pl.col("user_id") == user).select("item_id", "rank").iter_rows()
                 if item in relevant]  # fmt: skip
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
        found["recall"].append(len(ranks) / min(k, len(relevant)))
        found["ndcg"].append(sum(1 / math.log2(rank + 1) for rank in ranks) / ideal)
        found["hit_rate"].append(float(bool(ranks)))
        found["mrr"].append(1 / min(ranks) if ranks else 0.0)
    return {f"{name}_at_{k}": float(np.mean(values)) for name, values in found.items()}


def test_the_written_lists_reproduce_the_reported_metrics(backtest):
    code, _, out = backtest(BASELINES + MAIN + "seeds = [3, 4]")
    assert code == 0
    report = json.loads((out / "metrics.json").read_text())
    for source, seed in (("ease", 3), ("item_knn", 3), ("popularity", 3)):
        for k in (3, 5):
            again = rescored(out, source, k, seed)
            assert again == pytest.approx({n: report["models"][source]["metrics"][n] for n in again}, abs=1e-9)
    for seed in (3, 4):
        again = rescored(out, "random", 5, seed)
        assert again == pytest.approx({n: report["models"]["random"]["by_seed"][str(seed)][n] for n in again}, abs=1e-9)
    means = [report["models"]["random"]["by_seed"][str(seed)]["ndcg_at_5"] for seed in (3, 4)]
    assert report["models"]["random"]["metrics"]["ndcg_at_5"] == pytest.approx(np.mean(means), abs=1e-12)


def test_scores_fall_with_rank_and_no_seen_item_is_listed(backtest):
    _, _, out = backtest()
    lists = pl.read_parquet(out / "recommendations.parquet")
    assert lists.columns[:5] == ["user_id", "item_id", "rank", "score", "source"]
    ordered = lists.sort("source", "user_id", "rank")
    inside = ordered.with_columns(pl.col("score").diff().over("source", "user_id").alias("step"))
    assert (inside["step"].drop_nulls() <= 0).all()
    events = pl.read_csv(out.parent / "events.csv").sort("timestamp")
    seen = events.filter(pl.col("timestamp").rank("ordinal", descending=True).over("user_id") > 1)
    assert lists.join(seen, on=["user_id", "item_id"], how="semi").is_empty()


def test_every_pair_of_models_is_compared_and_every_slice_reported(backtest):
    _, _, out = backtest()
    report = json.loads((out / "metrics.json").read_text())
    pairs = {(each["a"], each["b"]): each for each in report["comparisons"]}
    assert len(pairs) == 6
    against = pairs["ease", "popularity"]
    expected = report["models"]["ease"]["metrics"]["ndcg_at_5"] - report["models"]["popularity"]["metrics"]["ndcg_at_5"]
    assert against["mean"] == pytest.approx(expected, abs=1e-12)
    assert 0 < against["low"] < against["mean"] < against["high"]
    slices = report["models"]["ease"]["slices"]
    assert {"cold_users", "warm_users", "cold_items", "warm_items", "gender=f", "gender=m", "age=25-34"} <= set(slices)
    assert slices["gender=f"]["n_users"] == 30
    assert slices["gender=f"]["metrics"].keys() == slices["gender=f"]["intervals"].keys() >= {"recall_at_3", "mrr_at_5"}
    low, high = slices["gender=f"]["intervals"]["recall_at_3"]
    assert low < slices["gender=f"]["metrics"]["recall_at_3"] < high
    halves = [slices[f"gender={label}"]["metrics"]["ndcg_at_5"] for label in "fm"]
    assert np.mean(halves) == pytest.approx(report["models"]["ease"]["metrics"]["ndcg_at_5"], abs=1e-12)


def test_the_same_backtest_gives_the_same_bytes(backtest):
    _, _, out = backtest()
    names = ("metrics.json", "recommendations.parquet", "heldout.parquet")
    first = {name: (out / name).read_bytes() for name in names}
    backtest()
    assert first == {name: (out / name).read_bytes() for name in names}


def test_folds_are_pooled_user_by_user(backtest):
    settings = BASELINES.replace("leave_one_out", "rolling") + MAIN + "n_folds = 2\nmust_beat_popularity = false"
    code, error, out = backtest(settings)
    assert code == 0, error
    report = json.loads((out / "metrics.json").read_text())
    assert report["folds"] == ["0", "1"]
    for fold in ("0", "1"):
        again = rescored(out, "popularity", 5, 11, fold)
        own = report["models"]["popularity"]["by_fold"][fold]
        assert again == pytest.approx({name: own[name] for name in again}, abs=1e-9)


@pytest.mark.slow
def test_a_two_tower_and_its_hybrid_are_trained_once_and_measured(backtest):
    settings = 'protocol = "leave_one_out"\nmodels = ["two_tower", "hybrid", "popularity"]\nks = [5]\n' + MAIN
    code, error, out = backtest(
        settings + "must_beat_popularity = false\nrefit = true", "epochs = 1\ndim = 8\nbatch_size = 32"
    )
    assert code == 0, error
    report = json.loads((out / "metrics.json").read_text())
    for model in ("two_tower", "hybrid"):
        again = rescored(out, model, 5, 11)
        assert again == pytest.approx({name: report["models"][model]["metrics"][name] for name in again}, abs=1e-9)
    seconds = {each["model"]: each["seconds"]["fit"] for each in json.loads((out / "timing.json").read_text())}
    assert seconds["hybrid"] < seconds["two_tower"]
    values = {name: report["models"][name]["metrics"]["ndcg_at_5"] for name in ("hybrid", "popularity")}
    assert values["hybrid"] > values["popularity"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epochs", "batch_size", "messages"),
    [
        (3, 32, ("TrainingError: the loss is", "at step")),
        (1, 100_000, ("TrainingError: a weight is no longer finite after step 1 (epoch 1) and learning rate",)),
    ],
)
def test_a_training_that_diverges_writes_nothing(backtest, epochs, batch_size, messages):
    settings = 'protocol = "leave_one_out"\nmodels = ["two_tower"]\nks = [5]\n' + MAIN
    code, error, out = backtest(
        settings, f"learning_rate = 1e38\nepochs = {epochs}\ndim = 8\nbatch_size = {batch_size}"
    )
    assert code == 1
    assert all(message in error for message in messages)
    assert not out.exists()


def test_what_does_not_fit_into_memory_is_refused_before_towers_train(backtest, monkeypatch):
    def too_late(*_):
        raise AssertionError("the towers were trained first")

    monkeypatch.setattr("recsys.model.train", too_late)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    code, error, out = backtest('protocol = "leave_one_out"\nmodels = ["two_tower", "ease"]\nks = [5]\n' + MAIN)
    assert code == 1
    assert "RecsysError: EASE over 30 items needs 0.0 GiB, 0.0 are free; lower backtest.ease_max_items" in error
    assert not out.exists()


def test_a_model_that_does_not_beat_popularity_fails_after_writing(backtest):
    code, error, out = backtest('protocol = "leave_one_out"\nmodels = ["recent_popularity"]\nks = [5]\n' + MAIN)
    assert code == 1
    assert "GateError: does not beat popularity on ndcg_at_5: recent_popularity 0." in error
    assert json.loads((out / "metrics.json").read_text())["models"].keys() == {"recent_popularity", "popularity"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (BASELINES.replace("[3, 5]", "[5, 400]") + MAIN, "backtest.ks must be <= 30 (items that may be recommended in test); got 400"),
        (BASELINES.replace("ease", "magic") + MAIN, "backtest.models must be among two_tower, hybrid, ease"),
        (BASELINES.replace("leave_one_out", "user_holdout") + MAIN + "holdout_users = 0.001", "leaves a set of users empty"),
        (BASELINES.replace("leave_one_out", "item_cold") + MAIN + 'cold_items = "COLD"', "the first is 'nowhere'"),
        (BASELINES.replace("leave_one_out", "files") + MAIN + 'test = "NONE"', "cannot open"),
        (BASELINES + MAIN + 'order_column = "place"', "backtest.order_column 'place' is no column"),
    ],
)  # fmt: skip
def test_bad_input_stops_before_anything_is_written(backtest, tmp_path, settings, message):
    (tmp_path / "cold.csv").write_text("item_id\ni00\nnowhere\n")
    places = settings.replace("COLD", str(tmp_path / "cold.csv")).replace("NONE", str(tmp_path / "none.csv"))
    code, error, out = backtest(places)
    assert code == 1
    assert message in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("item_id", None, "of 420 events 3 have no item_id; correct the source"),
        ("timestamp", None, "of 420 events 3 have no timestamp"),
        ("event", "rating", "of 420 events 3 have a rating without a value"),
    ],
)
def test_events_that_lack_something_are_refused_whole(backtest, tmp_path, column, value, message):
    events = pl.read_csv(tmp_path / "events.csv").with_row_index("row")
    changed = pl.when(pl.col("row") < 3).then(pl.lit(value)).otherwise(column).alias(column)
    events.with_columns(changed).drop("row").write_csv(tmp_path / "events.csv")
    code, error, out = backtest()
    assert code == 1
    assert message in error
    assert not out.exists()


def test_events_of_users_who_did_not_agree_are_counted_when_none_is_left(backtest, tmp_path):
    users = pl.read_csv(tmp_path / "users.csv").with_columns(pl.lit("no").alias("consent_personalization"))
    users.write_csv(tmp_path / "users.csv")
    code, error, _ = backtest()
    assert code == 1
    assert "no event may be used: withheld_no_consent 420; check the users' consent columns" in error


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_fitted(backtest, tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.data.read_consented", lambda _: pytest.fail("the data was read first"))
    (tmp_path / "out").write_text("a file")
    code, error, _ = backtest()
    assert code == 1
    assert "is no folder that can be written" in error
    (tmp_path / "out").unlink()
    (tmp_path / "out" / "recommendations.parquet").mkdir(parents=True)
    code, error, _ = backtest()
    assert code == 1
    assert "recommendations.parquet is a folder; remove it" in error
    with pytest.raises(StorageError, match="must be a local folder; got the address s3:/bucket"):
        check_folder(Path("s3://bucket/out"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("score") * 0, "gives every item the same score for every user"),
        (pl.when(pl.col("rank") == 2).then(math.nan).otherwise("score").alias("score"), "have a score that is not finite"),
        (pl.lit(1).alias("rank"), "share a rank with another"),
        (pl.col("rank") - 1, "have no rank of 1 or more"),
        (pl.lit(None, pl.Int64).alias("rank"), "have no rank of 1 or more"),
        (pl.lit("first").alias("rank"), "cannot read the lists"),
        (pl.lit("nobody").alias("user_id"), "holds no list for any of the 60 users who are asked"),
        (pl.lit("nowhere").alias("item_id"), "hold items that are not in the catalogue"),
    ],
)  # fmt: skip
def test_lists_of_another_program_are_refused_when_they_are_wrong(backtest, tmp_path, change, message):
    _, _, out = backtest()
    lists = pl.read_parquet(out / "recommendations.parquet").filter(pl.col("source") == "item_knn")
    lists.with_columns(change).write_parquet(tmp_path / "lists.parquet")
    code, error, _ = backtest(BASELINES + MAIN + f'recommendations = {{ peer = "{tmp_path / "lists.parquet"}" }}')
    assert code == 1
    assert message in error


def test_lists_of_another_program_are_measured_in_the_same_run(backtest, tmp_path):
    _, _, out = backtest()
    lists = pl.read_parquet(out / "recommendations.parquet").filter(pl.col("source") == "item_knn")
    lists.write_parquet(tmp_path / "lists.parquet")
    code, error, out = backtest(BASELINES + MAIN + f'recommendations = {{ peer = "{tmp_path / "lists.parquet"}" }}')
    assert code == 0, error
    report = json.loads((out / "metrics.json").read_text())
    assert report["models"]["peer"]["metrics"] == report["models"]["item_knn"]["metrics"]
