from pathlib import Path

import pytest
from pydantic import ValidationError

from recsys.config import BacktestConfig, Config, DemoSource, FilesSource, load_config
from recsys.errors import ConfigError


def test_defaults_describe_the_demo_world() -> None:
    assert isinstance(Config().source, DemoSource)


def test_a_file_names_its_source(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        '[source]\nkind = "files"\n[source.interactions]\nuri = "events.csv"\ncolumns = {user_id = "uid"}\n'
    )
    source = load_config(path).source
    assert isinstance(source, FilesSource)
    assert source.interactions.columns == {"user_id": "uid"}


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[model]\ndimension = 3\n")
    with pytest.raises(ConfigError, match=r"model\.dimension"):
        load_config(path)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "absent.toml")


def test_the_environment_names_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_STORAGE", "memory://elsewhere")
    assert load_config().storage == "memory://elsewhere"


def test_a_main_metric_that_is_not_computed_is_refused() -> None:
    with pytest.raises(ValueError, match="main_metric"):
        Config.model_validate({"evaluation": {"main_metric": "ndcg_at_7"}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"main_metric": "ndcg_at_7"}, "backtest.main_metric must be one of recall, .*; got 'ndcg_at_7'"),
        ({"protocol": "files"}, "backtest.test must be set with protocol 'files'"),
        ({"protocol": "item_cold"}, "backtest.cold_items must be set with protocol 'item_cold'"),
        ({"folds": ("a",)}, "no address holds {fold}"),
        ({"seeds": (1, 1)}, "seeds and models must not repeat"),
    ],
)
def test_backtest_settings_that_contradict_each_other_are_named(settings, message):
    with pytest.raises(ValidationError, match=message):
        BacktestConfig(**settings)
