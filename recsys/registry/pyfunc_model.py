"""The registered model, as code: MLflow loads this file and calls `predict` with users, context and k."""

from datetime import datetime
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class TwoTowerModel(PythonModel):
    """Recommends from a bundle and its index; a user it does not know is treated as a newcomer."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the bundle and index that were logged with the model."""
        from recsys.serving import BundleRecommender

        self._recommender = BundleRecommender.open(context.artifacts["bundle"], context.artifacts["index"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  # MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row per (user, rank); columns user_id, item_id, title, score, rank, reason.

        Input columns: `user_id` (pseudonym), optionally `device`, `at` (ISO 8601) and demographics.
        """
        k = int((params or {}).get("k", 10))
        rows = []
        for row in model_input.to_dict("records"):
            known = {str(name): value for name, value in row.items() if isinstance(value, str)}
            user, at = known.pop("user_id"), known.pop("at", None)
            moment = datetime.fromisoformat(at) if at else None
            device = known.pop("device", None)
            for each in self._recommender.recommend(user, k, demographics=known, device=device, at=moment):
                rows.append({"user_id": user, **each.to_json()})
        return pd.DataFrame(rows, columns=["user_id", "item_id", "title", "score", "rank", "reason"])


mlflow.models.set_model(TwoTowerModel())
