"""Newcomers served: questions, and lists from the towers and the answers together."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from recsys.config import OnboardingConfig
from recsys.serving.onboarding import Answers, Onboarding, Question
from recsys.serving.recommender import BundleRecommender, Recommendation

_EVENTS = {"like": "like", "dislike": "dislike"}  # not to know an item is no event: it may well be recommended


class NewcomerRecommender:
    """Asks newcomers and folds their answers in at once: likes are a history to the towers, all answers a taste."""

    def __init__(self, recommender: BundleRecommender, config: OnboardingConfig | None = None) -> None:
        self._recommender = recommender
        bundle = recommender.bundle
        self._onboarding = Onboarding.of(bundle.dataset, bundle.towers.item_vectors, config)

    def next_questions(
        self, answers: Answers = (), demographics: Mapping[str, str] | None = None, n: int = 1
    ) -> list[Question]:
        """Return what to ask next; see `Onboarding.next_questions`."""
        return self._onboarding.next_questions(answers, demographics, n)

    def recommend(
        self, answers: Answers, k: int, demographics: Mapping[str, str] | None = None
    ) -> list[Recommendation]:
        """Return up to k items after answers, of which liked and disliked items are left out.

        Raises DataError for an unknown item or answer, or an item answered twice.
        """
        taste = self._onboarding.evidence(answers, demographics)
        start = datetime.fromtimestamp(self._recommender.last_second(), UTC) - timedelta(seconds=len(answers))
        history = [
            (item, _EVENTS[answer], start + timedelta(seconds=place))
            for place, (item, answer) in enumerate(answers)
            if answer in _EVENTS
        ]
        return self._recommender.recommend(None, k, demographics, history=history, taste=taste)
