"""The registered model, loaded as any MLflow user would load it."""

from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
import pytest

from recsys.serving import BundleRecommender

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.slow


def test_the_champion_predicts_for_known_and_new_users(world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Path(world.config.storage)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{storage}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{storage}/mlflow.db")
    model = mlflow.pyfunc.load_model(f"models:/{world.config.registered_model}@champion")
    recommender = BundleRecommender.open(world.registered["bundle"], world.registered["index"])
    known = recommender.busiest_user()
    asked = pd.DataFrame(
        {"user_id": [known, "nobody", "nobody"], "gender": [None, "F", "M"], "age": [None, "18-24", "65+"]}
    )
    answer = model.predict(asked, params={"k": 5})
    assert answer.columns.tolist() == ["user_id", "item_id", "title", "score", "rank", "reason"]
    assert answer["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert answer["item_id"].tolist()[:5] == [each.item_id for each in recommender.recommend(known, 5)]
    newcomers = [answer["score"].tolist()[5:10], answer["score"].tolist()[10:]]
    assert newcomers[0] != newcomers[1], "demographics must reach the model"
