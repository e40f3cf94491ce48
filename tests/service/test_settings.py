import tomllib
from pathlib import Path

import pytest

from recsys.config import Config, ServiceConfig, load_config
from recsys.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_service_is_local_unless_it_is_set() -> None:
    assert Config().service.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 65536", "service.port: .*; got 65536"),
        ("deadline_ms = 0", "service.deadline_ms: .*; got 0"),
        ("keep_alive = 3", "service.keep_alive: there is no such setting; did you mean keep_alive_s"),
        ('host = ""', "service.host"),
        ("body_timeout_s = inf", "finite"),
        ("max_pending_bytes = 5000", "max_pending_bytes must be at least"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.toml").write_text(f"[service]\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "c.toml")


def test_the_documented_defaults_are_the_defaults() -> None:
    rows = [line.split("|") for line in (REPOSITORY / "docs" / "service.md").read_text(encoding="utf-8").splitlines()]
    documented = {row[1].strip(" `"): row[2].strip(" `") for row in rows if len(row) == 5}
    for name, field in ServiceConfig.model_fields.items():
        assert tomllib.loads(f"x = {documented[name]}")["x"] == field.default, name
