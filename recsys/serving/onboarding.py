"""Which items to ask a newcomer about, and what their answers say: active learning on a Gaussian taste.

A question is worth what its answer is expected to add to the newcomer's list: for each of like, dislike and don't know,
weighed by its chance, the expected DCG of the ten best items after that answer (value of information). Only items that
enough people of the newcomer's segment know are asked, and ones like those asked before are worth less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.config import OnboardingConfig
from recsys.errors import DataError
from recsys.features import SEGMENT_COLUMNS, Dataset
from recsys.scoring import ANSWERS, Answer, Taste, TastePrior, over_catalogue, standardised
from recsys.scoring.taste import Floats, Rows

Answers = Sequence[tuple[str, Answer]]
_LIST = 10  # items of the list whose worth a question is to raise
_RARE = 0.005  # no answer is impossible: a linear prediction may leave [0, 1]
_PER_EVENT = 4.0  # events outweigh taste: each takes this share more of its weight (chosen on newcomers of `dev`)
_CACHED = 128  # tastes of a segment after answers, about 4 MB each; the first questions are the same for many


@dataclass(frozen=True)
class Question:
    """An item to ask about; `familiarity` is the chance that the newcomer knows it."""

    item_id: str
    title: str
    familiarity: float


class Onboarding:
    """Questions and posterior of one training set; holds no newcomer's state, so one object serves everybody."""

    def __init__(
        self, dataset: Dataset, vectors: NDArray[np.float32], config: OnboardingConfig, prior: TastePrior
    ) -> None:
        self._config = config
        self._vocabularies = dataset.spec.demographic_vocabs
        self._ids, self._titles = dataset.items.ids, dataset.items.titles
        self._rows = {item: row for row, item in enumerate(dataset.items.ids.tolist())}
        self._prior = prior
        self._hot_prior = replace(prior, taste=_hot(prior.taste, config.n_hot))
        chosen = vectors[prior.questions]
        unit = chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-9)
        self._similarity: Floats = np.asarray(unit @ unit.T, np.float64)
        self._segment = lru_cache(maxsize=_CACHED)(self._segment_taste)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        vectors: NDArray[np.float32],
        config: OnboardingConfig | None = None,
        prior: TastePrior | None = None,
    ) -> Self:
        """Return the onboarding of a training set and its item vectors [n_items, D], by default with a prior of it."""
        settings = config or OnboardingConfig()
        return cls(dataset, vectors, settings, prior or TastePrior.fit(dataset, settings))

    def next_questions(
        self, answers: Answers = (), demographics: Mapping[str, str] | None = None, n: int = 1
    ) -> list[Question]:
        """Return up to n items to ask about next, best first; fewer when no familiar item is left.

        Raises DataError for an unknown item or answer, or an item answered twice; ValueError when n is below 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1; got {n}")
        told = self._checked(answers)
        codes = self._codes(demographics, SEGMENT_COLUMNS)
        taste, familiarity = self._segment(tuple(codes.tolist()), tuple(told.items()))
        asked = np.flatnonzero(np.isin(self._prior.questions, list(told)))
        open_ = np.flatnonzero(
            (familiarity >= self._config.min_familiarity) & ~np.isin(self._prior.questions, list(told))
        )
        worth = self._worth(taste, open_, list(told))
        chosen = self._diverse(open_, worth, asked, n)
        return [self._question(place, familiarity) for place in chosen]

    def liked(
        self, answers: Answers = (), demographics: Mapping[str, str] | None = None, events: Sequence[str] = ()
    ) -> Floats:
        """Return float64[n_items]: the chance that the newcomer likes each item; NaN where nothing is known of it.

        `events` are the items of a newcomer's own events, which count as liked unless an answer says otherwise.
        """
        result = np.full(len(self._ids), np.nan)
        result[self._prior.targets] = self._prior.liked(*self._told(answers, demographics, events))
        return result

    def _told(
        self, answers: Answers, demographics: Mapping[str, str] | None, events: Sequence[str]
    ) -> tuple[Rows, dict[int, Answer]]:
        own: dict[int, Answer] = {self._rows[item]: "like" for item in events if item in self._rows}
        return self._codes(demographics, tuple(self._vocabularies)), own | self._checked(answers)

    def evidence(
        self, answers: Answers = (), demographics: Mapping[str, str] | None = None, events: Sequence[str] = ()
    ) -> Floats:
        """Return float64[n_items] to add to standardised scores: the weighed, standardised chance of a like.

        With events of a newcomer's own on n items of the catalogue the weight is divided by 1 + 4 n: the towers know
        more of events.
        """
        codes, told = self._told(answers, demographics, events)
        liked = over_catalogue(self._prior, self._prior.liked(codes, told), len(self._ids))
        weight = self._config.taste_weight if answers else self._config.prior_weight
        weight /= 1 + _PER_EVENT * len({item for item in events if item in self._rows})
        return weight * standardised(liked)

    def _segment_taste(self, codes: tuple[int, ...], told: tuple[tuple[int, Answer], ...]) -> tuple[Taste, Floats]:
        """Return the taste after answers, and what the segment knew before them."""
        before = self._hot_prior.of_labels(np.array(codes, np.int64))
        return self._hot_prior.answered(before, dict(told)), self._known(before)

    def _known(self, taste: Taste) -> Floats:
        first, n = int(self._prior.offsets[-1]), len(self._prior.questions)
        known: Floats = np.clip(taste.mean[first : first + n] + taste.mean[first + n : first + 2 * n], 0, 1)
        return known

    def _worth(self, taste: Taste, open_: Rows, told: list[int]) -> Floats:
        """Return float64[len(open_)]: the expected DCG of the list after each question."""
        targets = self._prior.targets[: len(taste.liked)]
        listed = np.where(np.isin(targets, told), -np.inf, taste.liked)
        like = int(self._prior.offsets[-1]) + open_
        dislike = like + len(self._prior.questions)
        own = np.where(self._prior.questions[open_][:, None] == targets, -np.inf, listed)
        gains = _gains(taste, like, dislike)
        worth = np.zeros(len(open_))
        for chance, answer in zip(_chances(taste, like, dislike), ANSWERS.values(), strict=True):
            shift = (answer[0] - taste.mean[like])[:, None] * gains[0] + (answer[1] - taste.mean[dislike])[
                :, None
            ] * gains[1]
            worth += chance * _dcg(own + shift)
        return worth

    def _diverse(self, open_: Rows, worth: Floats, asked: Rows, n: int) -> list[int]:
        """Choose n of the open questions: worth, from 0 to 1, less similarity to what was asked and chosen."""
        spread = float(np.ptp(worth)) if len(worth) else 0.0
        value = (worth - worth.min()) / spread if spread > 0 else np.zeros(len(worth))
        chosen: list[int] = []
        for _ in range(min(n, len(open_))):
            before = np.concatenate([asked, np.array(chosen, np.int64)])
            near = self._similarity[np.ix_(open_, before)].max(axis=1) if len(before) else np.zeros(len(open_))
            gain = value - self._config.diversity * np.maximum(near, 0)
            gain[np.isin(open_, chosen)] = -np.inf
            chosen.append(int(open_[np.argmax(gain)]))
        return chosen

    def _question(self, place: int, familiarity: Floats) -> Question:
        row = int(self._prior.questions[place])
        return Question(self._ids[row], self._titles[row], float(familiarity[place]))

    def _codes(self, demographics: Mapping[str, str] | None, columns: tuple[str, ...]) -> Rows:
        """Return the code of each vocabulary's column; 0 for a label not told, not known or not among `columns`."""
        given = {name: label for name, label in (demographics or {}).items() if name in columns}
        codes = [
            vocabulary.index(given[name]) + 1 if given.get(name) in vocabulary else 0
            for name, vocabulary in self._vocabularies.items()
        ]
        return np.array(codes, np.int64)

    def _checked(self, answers: Answers) -> dict[int, Answer]:
        wrong = sorted({str(answer) for _, answer in answers if answer not in ANSWERS})
        if wrong:
            raise DataError(f"answers must be one of {', '.join(ANSWERS)}; got {', '.join(wrong)}")
        unknown = [item for item, _ in answers if item not in self._rows]
        if unknown:
            raise DataError(f"answers must be about items of the catalogue; got {', '.join(unknown)}")
        told = {self._rows[item]: answer for item, answer in answers}
        if len(told) < len(answers):
            raise DataError(f"each item may be answered once; got {len(answers)} answers about {len(told)} items")
        return told


def _hot(taste: Taste, n: int) -> Taste:
    """Keep the n targets that most people like: the others are in nobody's first ten, and time goes with them."""
    return replace(taste, liked=taste.liked[:n], cross=taste.cross[:, :n])


def _chances(taste: Taste, like: Rows, dislike: Rows) -> Floats:
    """Return float64[3, n]: the chance of like, dislike and don't know for each question."""
    liked, disliked = (np.clip(taste.mean[places], _RARE, 1) for places in (like, dislike))
    chances = np.stack([liked, disliked, np.clip(1 - liked - disliked, _RARE, 1)])
    result: Floats = chances / chances.sum(axis=0)
    return result


def _gains(taste: Taste, like: Rows, dislike: Rows) -> tuple[Floats, Floats]:
    """Return two float64[n, T]: what one more like, one more dislike of a question adds to every target."""
    a, b, c = (taste.covariance[pair] for pair in ((like, like), (dislike, dislike), (like, dislike)))
    scale = (1 / (a * b - c * c))[:, None]
    own, other = taste.cross[like], taste.cross[dislike]
    return (b[:, None] * own - c[:, None] * other) * scale, (a[:, None] * other - c[:, None] * own) * scale


def _dcg(liked: Floats) -> Floats:
    """Return float64[n]: the DCG that the best items of each row, by their chance to be liked, are expected to have."""
    k = min(_LIST, liked.shape[1])
    best = -np.sort(-np.partition(liked, liked.shape[1] - k, axis=1)[:, -k:], axis=1)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    result: Floats = np.where(np.isfinite(best), best, 0.0) @ discounts
    return result
