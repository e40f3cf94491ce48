"""Onboarding in a terminal, or from a file of answers."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from recsys.config import Config
from recsys.errors import DataError
from recsys.pipeline.show import champion_of, print_list

if TYPE_CHECKING:
    from recsys.scoring.taste import Answer
    from recsys.serving import NewcomerRecommender

_WORDS: "dict[str, Answer]" = {"l": "like", "d": "dislike", "?": "unknown"}
MOST_ASKED = 25  # questions after which patience ends where only known items count


def onboard(
    config: Config,
    answers: Path | None,
    demographics: Mapping[str, str],
    n_questions: int,
    k: int,
    *,
    skip: bool = False,
) -> None:
    """Ask `n_questions` one after another, or read the answers of a file, and print k recommendations.

    With `skip` items the newcomer does not know do not count, and 25 or `n_questions`, if more, are asked at most. The
    file is CSV with the columns item_id and answer (like, dislike or unknown). Raises DataError for wrong answers,
    unknown items and demographics the model does not know.
    """
    from recsys.serving import BundleRecommender, NewcomerRecommender

    champion = champion_of(config)
    recommender = BundleRecommender.open(champion.bundle, champion.index, config.rerank)
    _check(demographics, recommender.bundle.dataset.spec.demographic_vocabs)
    newcomers = NewcomerRecommender(recommender, config.onboarding)
    console = Console()
    told = _read(answers) if answers else _ask(newcomers, demographics, n_questions, console, skip)
    print_list(console, f"a newcomer after {len(told)} answers", newcomers.recommend(told, k, demographics))


def _ask(
    newcomers: "NewcomerRecommender", demographics: Mapping[str, str], n_questions: int, console: Console, skip: bool
) -> list[tuple[str, "Answer"]]:
    told: list[tuple[str, Answer]] = []
    most = max(n_questions, MOST_ASKED)
    while len(told) < most and sum(answer != "unknown" or not skip for _, answer in told) < n_questions:
        questions = newcomers.next_questions(told, demographics)
        if not questions:
            break
        title = questions[0].title or questions[0].item_id
        word = ""
        while word not in _WORDS:
            word = console.input(f"{len(told) + 1}. {title}  [l]ike, [d]islike, [?] don't know: ", markup=False)
            word = word.strip().lower()
        told.append((questions[0].item_id, _WORDS[word]))
    return told


def _read(path: Path) -> list[tuple[str, "Answer"]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:  # spreadsheets put a mark before the first column
            table = csv.DictReader(lines)
            rows, columns = list(table), table.fieldnames or ()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the answers {path}: {error}") from error
    if not {"item_id", "answer"} <= set(columns):
        raise DataError(f"{path} must have the columns item_id and answer; got {', '.join(columns) or 'none'}")
    return [(row["item_id"], cast("Answer", row["answer"])) for row in rows]  # words are checked where they are used


def _check(demographics: Mapping[str, str], vocabularies: Mapping[str, list[str]]) -> None:
    for name, label in demographics.items():
        if label not in vocabularies.get(name, ()):
            known = ", ".join(vocabularies[name]) if name in vocabularies else ", ".join(vocabularies)
            raise DataError(f"demographics {name}={label} are not known to the model; known: {known}")
