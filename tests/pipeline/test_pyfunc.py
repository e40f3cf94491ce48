"""The registered model, loaded as any MLflow user would load it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
import pytest

from recsys.registry.pyfunc_model import TwoTowerModel
from recsys.serving import open_recommender

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.slow


def test_the_champion_predicts_for_known_and_new_users(world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Path(world.config.storage)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{storage}/mlflow.db")
    monkeypatch.setenv("RECSYS_STORAGE", world.config.storage)
    mlflow.set_tracking_uri(f"sqlite:///{storage}/mlflow.db")
    model = mlflow.pyfunc.load_model(f"models:/{world.config.registered_model}@champion")
    recommender = open_recommender(world.config, world.registered["bundle"], world.registered["index"])
    known = recommender.people.example()
    assert known is not None
    asked = pd.DataFrame(
        {"user_id": [known, "nobody", "nobody"], "gender": [None, "F", "M"], "age": [None, "18-24", "65+"]}
    )
    answer = model.predict(asked, params={"k": 5})
    assert answer.columns.tolist() == ["user_id", "item_id", "title", "score", "rank", "reason"]
    assert answer["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert answer["item_id"].tolist()[:5] == [each.item_id for each in recommender.recommend(known, 5)]
    newcomers = [answer["score"].tolist()[5:10], answer["score"].tolist()[10:]]
    assert newcomers[0] != newcomers[1], "demographics must reach the model"


def test_without_a_deployment_a_request_brings_its_history(world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_STORAGE", raising=False)
    context = SimpleNamespace(artifacts={name: world.registered[name] for name in ("bundle", "index")})
    model = TwoTowerModel()
    model.load_context(context)  # type: ignore[arg-type]
    item = model._recommender.bundle.dataset.items.ids[3]
    history = json.dumps([[item, "like", "2026-01-20T10:00:00+00:00"]])
    asked = pd.DataFrame({"user_id": ["one", "two"], "history": [history, None]})
    answer = model.predict(context, asked, {"k": 5})  # type: ignore[arg-type]
    told, untold = (answer[answer["user_id"] == user]["item_id"].tolist() for user in ("one", "two"))
    assert told != untold and item not in told
