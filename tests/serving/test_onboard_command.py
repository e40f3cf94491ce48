from pathlib import Path

import pytest
from typer.testing import CliRunner

from recsys.cli import app
from recsys.errors import RecsysError
from recsys.serving import Champion, write_champion
from tests.serving.conftest import Place


@pytest.fixture
def settings(place: Place, tmp_path: Path) -> Path:
    words = dict.fromkeys(set(Champion.model_fields) - {"previous"}, "x")
    root = place.config.storage
    write_champion(root, Champion(**{**words, "bundle": place.bundle, "index": place.index, "quality": 1.0}))
    path = tmp_path / "site.toml"
    path.write_text(f'storage = "{root}"\n[onboarding]\nn_pool = 20\nmin_familiarity = 0.0\n', encoding="utf-8")
    return path


def run(settings: Path, *more: str, answers: str = "") -> str:
    result = CliRunner().invoke(app, ["onboard", "--config", str(settings), *more], input=answers)
    if isinstance(result.exception, RecsysError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_newcomer_is_asked_and_served(settings: Path) -> None:
    output = run(settings, "--about", "age=18-24", "--questions", "3", answers="l\nwhat\n?\nD\n")
    assert output.count("don't know:") == 4  # one answer was no answer
    assert "a newcomer after 3 answers" in output
    assert sum(line.split("│")[1].strip().isdigit() for line in output.splitlines() if line.count("│") > 3) == 10


def test_who_skips_unknown_items_is_asked_until_enough_are_known(settings: Path) -> None:
    output = run(settings, "--questions", "2", "--skip", answers="?\nl\n?\n?\nd\n")
    assert output.count("don't know:") == 5
    assert "a newcomer after 5 answers" in output


def test_patience_ends_when_nothing_is_known(settings: Path) -> None:
    whole = settings.read_text(encoding="utf-8").replace("n_pool = 20", "n_pool = 40")
    settings.write_text(whole, encoding="utf-8")
    assert run(settings, "--questions", "2", "--skip", answers="?\n" * 40).count("don't know:") == 25


def test_answers_come_from_a_file(settings: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    answers.write_text("item_id,answer\ni003,like\ni006,unknown\n", encoding="utf-8-sig")
    output = run(settings, "--answers", str(answers), "--k", "38")
    assert "a newcomer after 2 answers" in output
    assert "│ Title 3 " not in output
    assert "│ Title 6 " in output


@pytest.mark.parametrize(
    ("content", "words"),
    [("item,answer\ni003,like\n", "columns item_id and answer; got item, answer"), ("item_id,answer\ni003,yes\n", "got yes"),
     ("item_id,answer\ni003\n", "got None"), ("", "columns item_id and answer; got none")],
)  # fmt: skip
def test_a_wrong_file_is_refused(settings: Path, tmp_path: Path, content: str, words: str) -> None:
    answers = tmp_path / "answers.csv"
    answers.write_text(content, encoding="utf-8")
    with pytest.raises(RecsysError, match=words):
        run(settings, "--answers", str(answers))


@pytest.mark.parametrize(
    ("about", "words"), [("age", "must be name=label"), ("age=7", "known: 18-24"), ("shoe=42", "known: age, gender")]
)
def test_wrong_demographics_are_refused(settings: Path, about: str, words: str) -> None:
    with pytest.raises(RecsysError, match=words):
        run(settings, "--about", about)
