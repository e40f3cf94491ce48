"""A newcomer's taste as a Gaussian: what people alike and people of the same answers turn to.

Training users are rows of indicators: demographic labels, "liked" and "disliked" of each question's item, and likes of
the catalogue. Their joint mean and covariance is the prior; telling a newcomer's labels and answers conditions it,
which is the best linear prediction (ridge regression) of every like from exactly what has been told, whatever that is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from recsys.config import OnboardingConfig
from recsys.errors import DataError, StorageError
from recsys.features import TEST, TRAIN, Dataset, EventArrays
from recsys.schema import EVENT_KINDS

Answer = Literal["like", "dislike", "unknown"]
ANSWERS: Final[dict[Answer, tuple[float, float]]] = {"like": (1.0, 0.0), "dislike": (0.0, 1.0), "unknown": (0.0, 0.0)}
_DISLIKE: Final = EVENT_KINDS.index("dislike") + 1
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def standardised(scores: Floats) -> Floats:
    """Return scores float64[.., n_items] in standard deviations from the mean of their row."""
    centred = scores - scores.mean(axis=-1, keepdims=True)
    result: Floats = centred / np.maximum(centred.std(axis=-1, keepdims=True), 1e-12)
    return result


@dataclass(frozen=True)
class Taste:
    """What is thought of one newcomer: F features are D labels, then M likes and M dislikes of the questions.

    `mean` [F] and `covariance` [F, F] of the features, `liked` [T] the chance that each target is liked, `cross` [F, T]
    the covariance of features and likes.
    """

    mean: Floats
    covariance: Floats
    liked: Floats
    cross: Floats

    def given(self, features: Rows, values: Floats) -> "Taste":
        """Return the taste after some features turned out to have these values."""
        if not len(features):
            return self
        own = self.covariance[features]
        gain = np.linalg.solve(own[:, features], np.hstack([own, self.cross[features]]))
        n_features = len(self.mean)
        surprise = values - self.mean[features]
        return Taste(
            self.mean + surprise @ gain[:, :n_features],
            self.covariance - own.T @ gain[:, :n_features],
            self.liked + surprise @ gain[:, n_features:],
            self.cross - own.T @ gain[:, n_features:],
        )


@dataclass(frozen=True)
class TastePrior:
    """The taste of somebody of whom nothing is known, and where the features lie.

    `questions` [M] and `targets` [T] are item rows, best known and most liked first; `offsets` [n_columns + 1] is where
    each demographic column's labels begin among the features.
    """

    taste: Taste
    questions: Rows
    targets: Rows
    offsets: Rows

    @classmethod
    def fit(cls, dataset: Dataset, config: OnboardingConfig, split: int = TEST + 1) -> Self:
        """Learn from every user's events of the splits before `split`; raise DataError when nobody liked anything."""
        likes, dislikes = _indicators(dataset, True, split), _indicators(dataset, False, split)
        dislikes = csr_array(dislikes - dislikes.multiply(likes))  # who likes it in the end likes it
        known, popular = (np.asarray(matrix.sum(axis=0)).ravel() for matrix in (likes + dislikes, likes))
        if not popular.any():
            raise DataError("onboarding learns from likes; the training set has none: check features.event_weights")
        questions = np.argsort(-known, kind="stable")[: config.n_pool]
        targets = np.argsort(-popular, kind="stable")[: config.max_targets]
        labels, offsets = _one_hot(dataset)
        features = csr_array(hstack([labels, likes[:, questions], dislikes[:, questions]]))
        n_users, liked = features.shape[0], popular[targets] / features.shape[0]
        mean = np.asarray(features.sum(axis=0)).ravel() / n_users
        covariance = (features.T @ features).toarray() / n_users - np.outer(mean, mean)
        cross = (features.T @ likes[:, targets]).toarray() / n_users - np.outer(mean, liked)
        ridge = config.ridge * max(float(np.diag(covariance).mean()), 1e-9)
        taste = Taste(mean, covariance + ridge * np.eye(len(mean)), liked, cross)
        return cls(taste, questions, targets, offsets)

    def save(self, path: Path) -> None:
        """Write one `.npz` file."""
        arrays = {field.name: getattr(self.taste, field.name) for field in fields(Taste)}
        own = {"questions": self.questions, "targets": self.targets, "offsets": self.offsets}
        np.savez(path, allow_pickle=False, **arrays, **own)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raise StorageError when it is missing or damaged."""
        try:
            with np.load(path) as arrays:
                taste = Taste(**{field.name: arrays[field.name] for field in fields(Taste)})
                return cls(taste, arrays["questions"], arrays["targets"], arrays["offsets"])
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise StorageError(
                f"cannot read the taste prior {path.name}: {error}; register the version again"
            ) from error

    def mapped(self, found: Rows) -> "TastePrior":
        """Return the prior over other item rows: its row `found[i]` is their row i; items they lack are left out."""
        places = {int(own): row for row, own in enumerate(found.tolist()) if own >= 0}
        kept = np.array([place for place, row in enumerate(self.targets.tolist()) if row in places], np.int64)
        taste = replace(self.taste, liked=self.taste.liked[kept], cross=self.taste.cross[:, kept])
        targets = np.array([places[int(row)] for row in self.targets[kept]], np.int64)
        questions = np.array([places.get(int(row), -1) for row in self.questions], np.int64)
        return TastePrior(taste, questions, targets, self.offsets)

    def of_labels(self, codes: NDArray[np.integer]) -> Taste:
        """Return the taste of people of demographic codes int[n_columns]; 0 is unknown and tells nothing."""
        return self.taste.given(*self._labels(codes))

    def answered(self, taste: Taste, answers: Mapping[int, Answer]) -> Taste:
        """Return a taste after answers by item row; items that are no question are left to the towers."""
        return taste.given(*self._answers(answers))

    def liked(self, codes: NDArray[np.integer], answers: Mapping[int, Answer]) -> Floats:
        """Return float64[T]: the chance of each like after labels and answers, without the rest of the posterior."""
        told = (self._labels(codes), self._answers(answers))
        features = np.concatenate([each[0] for each in told])
        surprise = np.concatenate([each[1] for each in told]) - self.taste.mean[features]
        slope = np.linalg.solve(self.taste.covariance[np.ix_(features, features)], surprise)
        result: Floats = self.taste.liked + slope @ self.taste.cross[features]
        return result

    def _labels(self, codes: NDArray[np.integer]) -> tuple[Rows, Floats]:
        told = [np.arange(self.offsets[place], self.offsets[place + 1]) for place in np.flatnonzero(codes)]
        features = np.concatenate([*told, np.zeros(0, np.int64)]).astype(np.int64)
        values = np.zeros(len(self.taste.mean))
        values[self.offsets[:-1][codes > 0] + codes[codes > 0] - 1] = 1.0
        return features, values[features]

    def _answers(self, answers: Mapping[int, Answer]) -> tuple[Rows, Floats]:
        places = {row: place for place, row in enumerate(self.questions.tolist())}
        asked = [(places[row], ANSWERS[answer]) for row, answer in answers.items() if row in places]
        first, n = int(self.offsets[-1]), len(self.questions)
        features = np.array([[first + place, first + n + place] for place, _ in asked], np.int64).ravel()
        return features, np.array([value for _, value in asked], np.float64).ravel()


def _indicators(dataset: Dataset, positive: bool, split: int) -> csr_array:
    events = dataset.events
    splits = np.asarray(events.split)
    said = events.positive if positive else _disliked(events)
    chosen = np.asarray(said) & (splits >= TRAIN) & (splits < split)
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))[chosen]
    shape = (len(dataset.users.ids), len(dataset.items.ids))
    matrix = csr_array((np.ones(users.size), (users, np.asarray(events.item)[chosen])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _disliked(events: EventArrays) -> NDArray[np.bool_]:
    """Return bool[n_events]: dislikes and poor ratings; an event of weight 0 otherwise only says what was met."""
    against = (np.asarray(events.weight) > 0) | (np.asarray(events.kind) == _DISLIKE)
    result: NDArray[np.bool_] = ~np.asarray(events.positive) & against
    return result


def _one_hot(dataset: Dataset) -> tuple[csr_array, Rows]:
    """Return float64[n_users, D] one-hot labels of all columns, unknown as zeros, and int64[n_columns + 1] offsets."""
    sizes = [len(vocabulary) for vocabulary in dataset.spec.demographic_vocabs.values()]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    codes = np.asarray(dataset.users.demographics)
    users, columns = np.nonzero(codes)
    places = offsets[columns] + codes[users, columns] - 1
    return csr_array((np.ones(users.size), (users, places)), shape=(len(codes), int(offsets[-1]))), offsets
