"""From files through the sources to the training sets of a backtest."""

from pathlib import Path

import polars as pl
import pytest

from recsys.config import BacktestConfig, Config, FeaturesConfig, FilesSource, PrivacyConfig, TableMapping
from recsys.errors import ConfigError, DataError, SourceError
from recsys.pipeline.cases import fold_names, load_case, load_folds


@pytest.fixture
def events(tmp_path) -> pl.DataFrame:
    rows = [(f"u{u}", f"i{i}", u * 3600 + i * 60, "view") for u in range(6) for i in range(6)]
    return pl.DataFrame(rows, schema=["who", "item_id", "timestamp", "event"], orient="row")


def config_of(folder: Path, **backtest) -> Config:
    return Config(
        storage=str(folder),
        source=FilesSource(
            interactions=TableMapping(uri=str(folder / "train.csv"), columns={"user_id": "who"}, timestamp_unit="s"),
            users=TableMapping(uri=str(folder / "users.csv")) if (folder / "users.csv").exists() else TableMapping(),
        ),
        privacy=PrivacyConfig(consent_missing="allow"),
        features=FeaturesConfig(min_item_events=1, min_user_events=1, text_dim=2),
        backtest=BacktestConfig(**backtest),
    )


def test_given_files_share_the_mapping_of_the_source(events, tmp_path):
    last = pl.col("item_id") == "i5"
    events.filter(~last).write_csv(tmp_path / "train.csv")
    events.filter(last).write_csv(tmp_path / "test.csv")
    dataset = load_case(config_of(tmp_path, protocol="files", test=str(tmp_path / "test.csv")))
    assert dataset.users.ids.tolist() == [f"u{u}" for u in range(6)], "a backtest's ids are the source's own"
    assert set(dataset.items.ids[dataset.events.item[dataset.events.split == 2]].tolist()) == {"i5"}
    assert (dataset.events.split == 2).sum() == 6


def test_held_out_ids_that_do_not_exist_are_refused(events, tmp_path):
    last = pl.col("item_id") == "i5"
    events.filter(~last).write_csv(tmp_path / "train.csv")
    test, items = tmp_path / "test.csv", tmp_path / "items.csv"
    config = config_of(tmp_path, protocol="files", test=str(test))
    events.filter(last).with_columns(pl.format("x{}", "who").alias("who")).write_csv(test)
    with pytest.raises(DataError, match="none of the users of backtest.test has an event in train"):
        load_case(config)
    events.filter(last).write_csv(test)
    pl.DataFrame({"item_id": [f"i{i}" for i in range(5)]}).write_csv(items)
    source = config.source.model_copy(update={"items": TableMapping(uri=str(items))})
    with pytest.raises(DataError, match=r"in source.items; 1 of backtest.test are not, the first is 'i5'"):
        load_case(config.model_copy(update={"source": source}))


def test_each_fold_reads_its_own_files(events, tmp_path):
    for fold in ("a", "b"):
        held = pl.col("item_id") == {"a": "i0", "b": "i1"}[fold]
        events.filter(~held).write_csv(tmp_path / f"train-{fold}.csv")
        events.filter(held).write_csv(tmp_path / f"test-{fold}.csv")
    address = str(tmp_path / "{kind}-{fold}.csv")
    config = config_of(tmp_path, protocol="files", folds=("a", "b"), train=address.replace("{kind}", "train"),
                       test=address.replace("{kind}", "test"))  # fmt: skip
    found = {
        name: set(dataset.items.ids[dataset.events.item[dataset.events.split == 2]].tolist())
        for name, dataset in ((name, build()) for name, build in load_folds(config))
    }
    assert found == {"a": {"i0"}, "b": {"i1"}}


def test_users_who_did_not_agree_are_not_in_a_backtest(events, tmp_path):
    events.write_csv(tmp_path / "train.csv")
    agreed = pl.DataFrame({"user_id": [f"u{u}" for u in range(6)], "consent_personalization": ["yes"] * 5 + ["no"]})
    agreed.write_csv(tmp_path / "users.csv")
    dataset = load_case(config_of(tmp_path, protocol="leave_one_out"))
    assert dataset.users.ids.tolist() == ["u0", "u1", "u2", "u3", "u4"]


def test_held_out_items_are_read_from_a_file(events, tmp_path):
    events.write_csv(tmp_path / "train.csv")
    pl.DataFrame({"note": ["x"], "film": ["i4"]}).write_csv(tmp_path / "cold.csv")
    settings = {"protocol": "item_cold", "cold_items": str(tmp_path / "cold.csv"), "validation_share": 0.2}
    dataset = load_case(config_of(tmp_path, cold_items_column="film", **settings))
    assert dataset.items.ids[dataset.newcomers == 2].tolist() == ["i4"]
    with pytest.raises(SourceError, match=r"has no column 'movie'; found note, film"):
        load_case(config_of(tmp_path, cold_items_column="movie", **settings))
    with pytest.raises(SourceError, match=r"cannot read ids from .*none\.csv"):
        load_case(config_of(tmp_path, **{**settings, "cold_items": str(tmp_path / "none.csv")}))


def test_a_fold_that_does_not_exist_is_refused(events, tmp_path):
    events.write_csv(tmp_path / "train.csv")
    with pytest.raises(ConfigError, match="fold must be from 0 to 0; got 3"):
        load_case(config_of(tmp_path, protocol="leave_one_out"), 3)


def test_files_protocol_needs_a_files_source():
    with pytest.raises(ConfigError, match="needs source.kind = \"files\"; got 'demo'"):
        load_case(Config(backtest=BacktestConfig(protocol="files", test="t.csv")))


def test_folds_are_named_after_what_makes_them():
    assert fold_names(Config(backtest=BacktestConfig(protocol="rolling", n_folds=2))) == ["0", "1"]
    assert fold_names(Config()) == ["0"]
