import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from recsys import cli
from recsys.config import Config, ServiceConfig
from recsys.errors import ConfigError, StorageError
from recsys.service import Keyring, add_key, create_app, list_keys, read_keyring, revoke_key
from recsys.service.access import Access
from recsys.service.keys import Scope
from recsys.service.operations import OPERATIONS
from recsys.service.problems import Problem
from recsys.service.server import check_access
from tests.service.conftest import NOW, FakeEngine

NEEDED: dict[str, Scope | None] = {
    "recommend": "read", "recommend_session": "read", "similar": "read", "first_questions": "read",
    "next_questions": "read", "parameters": "read", "docs": "read", "openapi": "read", "metrics": "read",
    "record": "write", "put_item": "write", "delete_item": "write", "put_user": "write", "put_consent": "write",
    "erase_user": "admin", "export_user": "admin", "healthz": None, "readyz": None,
    "page": None, "page_file": None,
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _key(root: Path, scope: Scope = "read", rate: float = 1_000, name: str = "k") -> str:
    return add_key(str(root), name, scope, rate, NOW)


def _access(root: Path, clock: Clock | None = None) -> Access:
    return Access(read_keyring(str(root)), clock or Clock())


def _refused(access: Access, key: str, scope: Scope = "read") -> Problem:
    with pytest.raises(Problem) as caught:
        access.check({"x-api-key": key}, scope)
    return caught.value


def test_the_file_holds_no_key_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    key = _key(tmp_path)
    path = tmp_path / "service" / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = key.split("_", 2)[2]
    assert secret not in path.read_text()
    assert len(secret) == 43  # 32 bytes in base64
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_two_keys_share_neither_secret_nor_salt(tmp_path: Path) -> None:
    assert _key(tmp_path, name="a") != _key(tmp_path, name="b")
    records = json.loads((tmp_path / "service" / "keys.json").read_text())["keys"]
    assert len({record["salt"] for record in records} | {record["digest"] for record in records}) == 4


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_each_operation_needs_its_scope(operation) -> None:
    assert operation.scope == NEEDED[operation.operation_id]


@pytest.mark.parametrize(
    ("has", "allowed"), [("read", ["read"]), ("write", ["read", "write"]), ("admin", ["read", "write", "admin"])]
)
def test_a_scope_includes_those_before_it(tmp_path: Path, has: Scope, allowed: list[Scope]) -> None:
    key = _key(tmp_path, has)
    access = _access(tmp_path)
    for scope in ("read", "write", "admin"):
        if scope in allowed:
            access.check({"authorization": f"Bearer {key}"}, scope)
        else:
            assert _refused(access, key, scope).status == 403


def test_other_keys_are_refused(tmp_path: Path) -> None:
    key = _key(tmp_path)
    access = _access(tmp_path)
    prefix, key_id, secret = key.split("_", 2)
    flipped = ("B" if secret[0] == "A" else "A") + secret[1:]
    for other in ("", "x", key[:-1], key + "A", f"{prefix}_{key_id}_{flipped}", f"{prefix}_000000000000_{secret}",
                  "rk__", "rk__" + secret, key.upper(), key * 100, "é" * 20):  # fmt: skip
        problem = _refused(access, other)
        assert problem.status == 401
        assert "www-authenticate" in problem.headers
    access.check({"x-api-key": key}, "read")


@given(st.text(max_size=150))
def test_no_text_is_a_key(text: str) -> None:
    assert Keyring({}).find(text) is None


def test_the_rate_holds_and_comes_back(tmp_path: Path) -> None:
    clock, key = Clock(), _key(tmp_path, rate=2)
    access = _access(tmp_path, clock)
    for _ in range(2):
        access.check({"x-api-key": key}, "read")
    problem = _refused(access, key)
    assert (problem.status, problem.headers["retry-after"]) == (429, "1")
    clock.now += 0.5
    access.check({"x-api-key": key}, "read")
    assert _refused(access, key).status == 429


def test_a_slow_rate_says_how_long_to_wait(tmp_path: Path) -> None:
    clock, key = Clock(), _key(tmp_path, rate=0.1)
    access = _access(tmp_path, clock)
    access.check({"x-api-key": key}, "read")
    assert _refused(access, key).headers["retry-after"] == "10"


def test_hours_of_silence_save_up_one_second(tmp_path: Path) -> None:
    clock, key = Clock(), _key(tmp_path, rate=3)
    access = _access(tmp_path, clock)
    clock.now += 36_000
    for _ in range(3):
        access.check({"x-api-key": key}, "read")
    assert _refused(access, key).status == 429


def test_a_clock_that_goes_back_neither_frees_nor_blocks(tmp_path: Path) -> None:
    clock, key = Clock(), _key(tmp_path, rate=2)
    access = _access(tmp_path, clock)
    access.check({"x-api-key": key}, "read")
    clock.now -= 900
    access.check({"x-api-key": key}, "read")
    assert _refused(access, key).status == 429
    clock.now += 1
    access.check({"x-api-key": key}, "read")


def test_keys_have_rates_of_their_own_and_buckets_go_with_keys(tmp_path: Path) -> None:
    first, second = _key(tmp_path, rate=1, name="a"), _key(tmp_path, rate=1, name="b")
    access = _access(tmp_path)
    access.check({"x-api-key": first}, "read")
    access.check({"x-api-key": second}, "read")
    for n in range(500):
        _refused(access, f"rk_{n:012x}_{'A' * 43}")
    assert len(access._buckets) == 2
    revoke_key(str(tmp_path), "a")
    keyring = read_keyring(str(tmp_path))
    assert keyring is not None
    access.replace(keyring)
    assert len(access._buckets) == 1
    assert _refused(access, first).status == 401


def test_a_service_with_keys_never_becomes_open(tmp_path: Path) -> None:
    key = _key(tmp_path)
    access = _access(tmp_path)
    access.replace(Keyring({}))
    assert not access.is_open
    assert _refused(access, key).status == 401


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "LOCALHOST:80"])
def test_an_open_service_answers_under_local_names(host: str) -> None:
    Access(None).check({"host": host}, "admin")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "10.0.0.1"])
def test_an_open_service_answers_under_no_other_name(host: str) -> None:
    with pytest.raises(Problem) as caught:
        Access(None).check({"host": host}, "read")
    assert caught.value.status == 421


def test_names_are_unique_and_revoked_ones_free(tmp_path: Path) -> None:
    _key(tmp_path)
    with pytest.raises(ConfigError, match="exists"):
        _key(tmp_path)
    revoke_key(str(tmp_path), "k")
    assert list_keys(str(tmp_path)) == []
    _key(tmp_path)
    with pytest.raises(ConfigError, match="no key named 'other'; there are: k"):
        revoke_key(str(tmp_path), "other")


@pytest.mark.parametrize("text", ["{", "[]", '{"keys": [{}]}', '{"keys": 3}'])
def test_a_damaged_file_is_no_open_service(tmp_path: Path, text: str) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "keys.json").write_text(text)
    with pytest.raises(StorageError, match=r"keys\.json"):
        read_keyring(str(tmp_path))


def test_where_a_service_may_start(tmp_path: Path) -> None:
    _key(tmp_path)
    keyring = read_keyring(str(tmp_path))
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        check_access("local", host, None)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org"):
        check_access("local", host, keyring)
        check_access("production", host, keyring)
        with pytest.raises(ConfigError, match="loopback"):
            check_access("local", host, None)
    for none in (None, Keyring({})):
        with pytest.raises(ConfigError, match="production"):
            check_access("production", "127.0.0.1", none)


def test_the_app_asks_for_keys_and_notices_a_revoked_one(tmp_path: Path) -> None:
    key, reader = _key(tmp_path, "write"), lambda: read_keyring(str(tmp_path))
    app = create_app(FakeEngine(), ServiceConfig(keys_refresh_s=0.05), reader)
    with TestClient(app, base_url="http://shop.example") as client:
        assert client.post("/v1/recommendations", json={}).status_code == 401
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        headers = {"authorization": f"Bearer {key}"}
        assert client.post("/v1/recommendations", json={}, headers=headers).status_code == 200
        assert client.delete("/v1/users/u1", headers=headers).status_code == 403
        assert client.get("/docs", auth=("anyone", key)).status_code == 200
        assert "Basic" in client.get("/docs").headers["www-authenticate"]
        assert client.post("/v1/recommendations", json={}, auth=("anyone", key)).status_code == 401
        revoke_key(str(tmp_path), "k")
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while client.post("/v1/recommendations", json={}, headers=headers).status_code != 401:
            assert datetime.now(UTC) < deadline


def test_commands_make_list_and_revoke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_STORAGE", str(tmp_path))
    monkeypatch.delenv("RECSYS_CONFIG", raising=False)

    def run(*arguments: str) -> str:
        cli.app([*arguments], standalone_mode=False)
        return capsys.readouterr().out

    key = run("keys", "add", "web-shop", "--scope", "write", "--rate", "25/s").strip()
    keyring = read_keyring(str(tmp_path))
    assert keyring is not None
    record = keyring.find(key)
    assert record is not None
    assert (record.name, record.scope, record.rate) == ("web-shop", "write", 25)
    listed = run("keys", "list")
    assert json.loads(listed)["name"] == "web-shop"
    assert key not in listed
    assert record.digest not in listed
    run("keys", "revoke", "web-shop")
    assert run("keys", "list") == ""
    for rate in ("fast", "0/s", "-1/s", "5/m"):
        with pytest.raises(ConfigError):
            run("keys", "add", "x", f"--rate={rate}")


def test_serving_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from recsys.service import serve

    config = Config(storage=str(tmp_path))
    with pytest.raises(ConfigError, match="loopback"):
        serve(config, host="0.0.0.0")
    with pytest.raises(ConfigError, match="port"):
        serve(config, port=70_000)
