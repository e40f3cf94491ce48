from pathlib import Path

import pytest
from pydantic import ValidationError

from recsys.config import BacktestConfig, Config, DemoSource, EventLogConfig, FilesSource, LogSource, load_config
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[backtest]\nprotocol = "foo"', "got 'foo'"),
        ("[evaluation]\nks = [0, 10]", "evaluation.ks.0: .*; got 0"),
        ("[model]\nlearning_rate = inf", "model.learning_rate: .* finite number; got inf"),
        ('storage = "f\xfcr"', "cannot read the configuration"),
    ],
)
def test_what_was_received_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "c.toml")


def test_an_address_that_is_refused_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[source]\nkind = "files"\ninteractions = "sql://me:secret@host"')
    with pytest.raises(ConfigError) as told:
        load_config(tmp_path / "c.toml")
    assert "secret" not in str(told.value)


def test_the_environment_names_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_STORAGE", "memory://elsewhere")
    assert load_config().storage == "memory://elsewhere"


def test_the_event_log_is_sqlite_unless_a_postgresql_url_is_named() -> None:
    assert EventLogConfig().address({}) == ""
    assert EventLogConfig(url="postgresql://host/a").address({}) == "postgresql://host/a"
    named = EventLogConfig(url="postgresql://host/a", url_env="LOG")
    assert named.address({"LOG": "postgres://host/b"}) == "postgres://host/b"


def test_another_url_of_the_event_log_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[eventlog]\nurl = "mysql://me:secret@host"')
    with pytest.raises(ConfigError, match=r"eventlog.url: url must be \"postgresql://") as told:
        load_config(tmp_path / "c.toml")
    assert "secret" not in str(told.value)
    with pytest.raises(ConfigError, match="RECSYS_EVENTLOG_URL must be") as told:
        EventLogConfig().address({"RECSYS_EVENTLOG_URL": "mysql://me:secret@host"})
    assert "secret" not in str(told.value)


def test_a_log_may_have_a_second_source_beside_it_without_interactions(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[source]\nkind = "log"\n[source.beside]\nkind = "files"\n[source.beside.users]\nuri = "users.csv"\n'
    )
    source = load_config(path).source
    assert isinstance(source, LogSource)
    assert isinstance(source.beside, FilesSource)
    assert source.beside.users.uri == "users.csv"
    path.write_text('[source]\nkind = "log"\n[source.beside]\nkind = "log"\n')
    with pytest.raises(ConfigError, match="source.beside"):
        load_config(path)


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
        ({"seeds": (1, 1)}, "backtest.seeds must not repeat; got 1, 1"),
        ({"ks": (10, 10)}, "backtest.ks must not repeat; got 10, 10"),
        ({"models": ()}, "models\n .*at least 1 item"),
        ({"seeds": (-1,)}, "greater than or equal to 0"),
        ({"ks": (0, 10)}, "greater than or equal to 1"),
    ],
)
def test_backtest_settings_that_contradict_each_other_are_named(settings, message):
    with pytest.raises(ValidationError, match=message):
        BacktestConfig(**settings)


def test_the_registered_model_is_named_after_the_deployment_unless_it_is_written() -> None:
    assert Config(name="news").registered_model == "two_tower-news"
    assert Config(name="news", registered_model="shared").registered_model == "shared"


def test_a_run_that_overrides_the_name_gets_another_model_and_a_written_one_stays() -> None:
    for written, expected in ((Config(name="news"), "two_tower-trial"), (Config(registered_model="own"), "own")):
        unset = written.model_dump(mode="json", exclude_unset=True)
        assert Config.model_validate({**unset, "name": "trial"}).registered_model == expected


def test_names_that_mlflow_refuses_become_models_of_their_own() -> None:
    names = [Config(name=name).registered_model for name in ("a/b", "a:b", "a-b", "a b", "Ärger & Co. (neu)")]
    assert len(set(names)) == 5
    assert all(not set("/:@ '&(") & set(name) for name in names)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "a'b"])
def test_a_written_model_name_that_no_address_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "c.toml").write_text(f'registered_model = "{name}"')
    with pytest.raises(ConfigError, match=f"registered_model must not contain {name[1]}, .*; got .*{name}"):
        load_config(tmp_path / "c.toml")
