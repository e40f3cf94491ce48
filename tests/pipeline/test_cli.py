"""The command line on data of one's own: the TOML file of the README, without Airflow."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from recsys.cli import main
from recsys.config import DemoSource
from recsys.data.demo import DemoWorld
from recsys.pipeline.show import print_list
from recsys.serving import Recommendation
from tests.pipeline.conftest import MODEL

CONFIG = """
name = "own"
storage = "{folder}/state"
partition = "all"

[source]
kind = "files"

[source.interactions]
uri = "{folder}/events.csv"
columns = {{ user_id = "uid", item_id = "article", event = "action", timestamp = "at" }}
ignore = ["propensity"]

[source.users]
uri = "{folder}/readers.parquet"
columns = {{ user_id = "uid" }}

[source.items]
uri = "{folder}/articles.jsonl"
columns = {{ item_id = "article", title = "headline" }}

[model]
"""


def recsys(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "160", "TF_CPP_MIN_LOG_LEVEL": "3"}
    code = "from recsys.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=False
    )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Write a world's tables as somebody else's files, and the configuration that maps them."""
    world = DemoWorld(DemoSource(days=20, scale=0.3, n_items=200))
    events, users, items = (
        pl.concat(list(read(*world.interval()))) for read in (world.interactions, world.users, world.items)
    )
    names = {"user_id": "uid", "item_id": "article", "event": "action", "timestamp": "at", "title": "headline"}
    events.rename(names, strict=False).write_csv(tmp_path / "events.csv")
    users.rename(names, strict=False).write_parquet(tmp_path / "readers.parquet")
    items.rename(names, strict=False).write_ndjson(tmp_path / "articles.jsonl")
    model = "\n".join(f"{name} = {value}" for name, value in MODEL.items())
    (tmp_path / "my.toml").write_text(CONFIG.format(folder=tmp_path) + model)
    return tmp_path


@pytest.mark.slow
def test_own_files_run_to_a_champion_and_recommend_by_the_sources_own_ids(own: Path) -> None:
    config = ("--config", str(own / "my.toml"))
    run = recsys("run", *config)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "two_tower" in run.stdout and "popularity" in run.stdout
    assert (own / "state" / "serving" / "champion.json").exists()
    known = pl.read_parquet(own / "readers.parquet").filter("consent_personalization")["uid"][0]
    asked = recsys("recommend", *config, "--user", known, "--k", "3")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert known not in asked.stdout
    assert "because" in asked.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[source\nkind = 1", "cannot read the configuration"),
        ("[model]\ndimension = 3\n", "model.dimension"),
        ('[source]\nkind = "oracle"\n', "'oracle'"),
        ('[model]\ndim = "[big]"\n', "model.dim"),
    ],
)
def test_a_broken_configuration_is_one_clear_message(
    tmp_path: Path, text: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "[my].toml"
    path.write_text(text)
    monkeypatch.setattr(sys, "argv", ["recsys", "run", "--config", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("ConfigError: ")
    assert told in said.replace("\n", "")
    assert str(path) in said.replace("\n", "")  # brackets are no markup


@pytest.mark.parametrize("title", ["[Rec] (2007)", "[/] ends nothing"])
def test_brackets_in_a_title_are_printed_as_they_are(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = Recommendation(item_id="i1", title=title, score=0.5, rank=1, reason="because you liked [Rec]")
    print_list(Console(width=120), "a newcomer", [one])
    assert title in (said := capsys.readouterr().out)
    assert "1 for a newcomer" in said
