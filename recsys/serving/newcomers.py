"""Newcomers served: questions, and lists from the towers and from the taste of people alike together."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from recsys.config import OnboardingConfig
from recsys.serving.onboarding import Answers, Onboarding, Question
from recsys.serving.recommender import BundleRecommender, Recommendation
from recsys.serving.requests import HistoryEvent

_NO_LIKE = ("dislike", "impression")
_EVENTS = {"like": "like", "dislike": "dislike"}  # not to know an item is no event: it may well be recommended


class NewcomerRecommender:
    """Asks newcomers and folds their answers in at once: likes are a history to the towers, all answers a taste.

    Before any answer or event the recommender itself adds the taste of people of the same demographics.
    """

    def __init__(self, recommender: BundleRecommender, config: OnboardingConfig | None = None) -> None:
        self._recommender = recommender
        bundle = recommender.bundle
        self._onboarding = Onboarding.of(bundle.dataset, bundle.towers.item_vectors, config, bundle.taste_prior)

    def next_questions(
        self, answers: Answers = (), demographics: Mapping[str, str] | None = None, n: int = 1
    ) -> list[Question]:
        """Return what to ask next; see `Onboarding.next_questions`."""
        return self._onboarding.next_questions(answers, demographics, n)

    def recommend(
        self,
        answers: Answers,
        k: int,
        demographics: Mapping[str, str] | None = None,
        history: Sequence[HistoryEvent] = (),
    ) -> list[Recommendation]:
        """Return up to k items after answers and events `(item_id, event, time)`, without what those are about.

        Raises DataError for an unknown item, event or answer, or an item answered twice.
        """
        both, taste = self.folded(answers, demographics, history)
        return self._recommender.recommend(None, k, demographics, history=both, taste=taste)

    def folded(
        self, answers: Answers, demographics: Mapping[str, str] | None = None, history: Sequence[HistoryEvent] = ()
    ) -> tuple[list[HistoryEvent], NDArray[np.float64] | None]:
        """Return what answers add to a request: events before the given ones, and a taste float64[n_items]."""
        events = [item for item, event, _ in history if event not in _NO_LIKE]
        taste = self._onboarding.evidence(answers, demographics, events) if answers else None
        start = datetime.fromtimestamp(self._recommender.last_second(), UTC) - timedelta(seconds=len(answers))
        answered = [
            (item, _EVENTS[answer], start + timedelta(seconds=place))
            for place, (item, answer) in enumerate(answers)
            if answer in _EVENTS
        ]
        return [*answered, *history], taste
