"""Frames in, frames out: what the MLflow pyfunc answers. One row in per request, one row out per (request, rank)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pandas as pd

from recsys.schema import DEVICE, ITEM_ID, RANK, REASON, SCORE, TITLE, USER_ID
from recsys.serving.recommender import BundleRecommender

COLUMNS = (USER_ID, ITEM_ID, TITLE, SCORE, RANK, REASON)
_K = 10


class FramePredictor:
    """Answers requests `user_id[, k, hour, device, <demographic>...]`; a missing cell means the default."""

    def __init__(self, recommender: BundleRecommender) -> None:
        self._recommender = recommender

    @classmethod
    def open(cls, bundle: Path, index: Path) -> Self:
        """Open a bundle and its index."""
        return cls(BundleRecommender.open(bundle, index))

    def predict(self, requests: pd.DataFrame) -> pd.DataFrame:
        """Return user_id, item_id, title, score, rank, reason; an unknown user is answered as a newcomer."""
        rows = []
        for request in requests.to_dict("records"):
            given = {str(name): value for name, value in request.items() if value is not None and not pd.isna(value)}
            user = str(given[USER_ID]) if USER_ID in given else None
            labels = {name: str(given[name]) for name in self._recommender.spec.demographic_vocabs if name in given}
            found = self._recommender.recommend(
                user,
                int(given.get("k", _K)),
                demographics=labels,
                at=self._at(int(given["hour"])) if "hour" in given else None,
                device=str(given[DEVICE]) if DEVICE in given else None,
            )
            rows += [(user or "", each.item_id, each.title, each.score, each.rank, each.reason) for each in found]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _at(self, hour: int) -> datetime:
        """The first full `hour` after the bundle's last event, so that the catalogue is not older than the model."""
        if not 0 <= hour <= 23:
            raise ValueError(f"hour must be from 0 to 23; got {hour}")
        last = self._recommender.as_of
        moment = datetime(last.year, last.month, last.day, hour, tzinfo=UTC)
        return moment if moment > last else moment + timedelta(days=1)
