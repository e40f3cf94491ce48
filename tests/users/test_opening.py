"""Which store a configuration names."""

import logging
from pathlib import Path

import pytest

from recsys.config import Config, load_config
from recsys.errors import ConfigError, StorageError
from recsys.users import backend_of, open_users
from recsys.users.postgresql import PostgresqlBackend
from recsys.users.redis_server import RedisBackend
from tests.users.conftest import event


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECSYS_USERS_URL", "RECSYS_STORAGE", "RECSYS_PSEUDONYM_KEY", "RECSYS_PSEUDONYM_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def configured(tmp_path: Path, text: str) -> Config:
    (tmp_path / "c.toml").write_text(text)
    return load_config(tmp_path / "c.toml")


def test_without_an_address_a_file_below_the_root_is_opened(tmp_path: Path) -> None:
    store = open_users(Config(storage=str(tmp_path)))
    store.apply([event()])
    assert (tmp_path / "users" / "users.sqlite").exists()
    assert store.about()["key_id"] == "development"


def test_a_remote_root_needs_a_server() -> None:
    with pytest.raises(ConfigError, match="is no folder of this machine; set users.url or RECSYS_USERS_URL"):
        open_users(Config(storage="s3://bucket/root"))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://127.0.0.1:1/0", RedisBackend),
        ("rediss://host", RedisBackend),
        ("postgresql://me@host/db", PostgresqlBackend),
    ],
)
def test_an_address_names_its_kind(url: str, kind: type) -> None:
    assert isinstance(backend_of(Config.model_validate({"users": {"url": url}})), kind)


def test_the_environment_takes_the_place_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_USERS_URL", "redis://:secret@127.0.0.1:1/0")
    store = open_users(Config())
    with pytest.raises(StorageError) as told:
        store.get("ann")
    assert "secret" not in str(told.value)
    monkeypatch.setenv("RECSYS_USERS_URL", "mysql://me:secret@host/db")
    with pytest.raises(ConfigError, match="RECSYS_USERS_URL: .*must begin with redis://") as told_too:
        open_users(Config())
    assert "secret" not in str(told_too.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[users]\nurl = "mysql://host/db"', "users.url: the address of users' states must begin with redis://"),
        ('[users]\nurl = "host"', "must begin with redis://, rediss://, postgresql://"),
        ('[users]\nurl = "redis://:hush@host/0"', "url must hold no password; put the whole address in the variable"),
        ('[users]\nurl = "postgresql://h/d?user=a&password=hush"', "url must hold no password"),
        ('[users]\nurl_env = ""', "users.url_env: .*at least 1 character"),
        ("[users]\nmax_meetings = 0", "users.max_meetings: .*greater than or equal to 1; got 0"),
        ("[users]\nmax_met = -1", "users.max_met: .*; got -1"),
        ("[users]\nmax_meeting = 5", "users.max_meeting: there is no such setting; did you mean max_meetings"),
    ],
)
def test_a_wrong_setting_is_told_and_no_secret_with_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        configured(tmp_path, text)
    assert "hush" not in str(told.value)


def test_how_much_is_kept_is_a_setting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_users(configured(tmp_path, f'storage = "{tmp_path}"\n[users]\nmax_meetings = 2\nmax_met = 1'))
    store.apply([event(user="secret-user", item=f"i{day}", hours=24 * day) for day in range(5)])
    state = store.get("secret-user")
    assert state is not None
    assert ([meeting.item for meeting in state.meetings], [*state.met]) == (["i3", "i4"], ["i2"])
    assert "secret-user" not in caplog.text
