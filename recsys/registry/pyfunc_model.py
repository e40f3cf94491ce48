"""The registered model, as code: MLflow loads this file and calls `predict` with users, context and k."""

import json
import os
from datetime import datetime
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class TwoTowerModel(PythonModel):
    """Recommends from a bundle and its index; a user it does not know is treated as a newcomer.

    Users are looked up in the deployment's store of states, where the environment names the deployment (RECSYS_CONFIG
    or RECSYS_STORAGE); without it a request brings its history along.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Open the bundle and index that were logged with the model."""
        from recsys.config import load_config
        from recsys.serving import BundleRecommender, open_recommender

        bundle, index = context.artifacts["bundle"], context.artifacts["index"]
        if any(os.environ.get(name) for name in ("RECSYS_CONFIG", "RECSYS_STORAGE")):
            self._recommender = open_recommender(load_config(), bundle, index)
        else:
            self._recommender = BundleRecommender.open(bundle, index)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  # MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row per (user, rank); columns user_id, item_id, title, score, rank, reason.

        Input columns: `user_id` (pseudonym), optionally `device`, `at` (ISO 8601), `history` (JSON: a list of item id,
        event and ISO 8601 time each) and demographics.
        """
        k = int((params or {}).get("k", 10))
        rows = []
        for row in model_input.to_dict("records"):
            known = {str(name): value for name, value in row.items() if isinstance(value, str)}
            user, at = known.pop("user_id"), known.pop("at", None)
            moment = datetime.fromisoformat(at) if at else None
            device, told = known.pop("device", None), json.loads(known.pop("history", "[]"))
            history = [(item, event, datetime.fromisoformat(time)) for item, event, time in told]
            for each in self._recommender.recommend(user, k, known, device, moment, history):
                rows.append({"user_id": user, **each.to_json()})
        return pd.DataFrame(rows, columns=["user_id", "item_id", "title", "score", "rank", "reason"])


mlflow.models.set_model(TwoTowerModel())
