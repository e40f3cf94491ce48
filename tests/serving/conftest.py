from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

from recsys.config import Config, FeaturesConfig, OnboardingConfig, RerankConfig
from recsys.features import Dataset, frames_to_dataset
from recsys.index import export_index
from recsys.model import ExportedTowers
from recsys.registry import write_bundle
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS
from recsys.scoring import TastePrior
from recsys.serving import BundleRecommender, DatasetPeople
from recsys.storage import publish

START = datetime(2026, 1, 1, tzinfo=UTC)
N_USERS, N_ITEMS, LENGTH, DIM = 30, 40, 6, 8
AGES = ["18-24", "25-34", "35-44"]


@dataclass(frozen=True)
class Place:
    config: Config
    dataset: Dataset
    towers: Path
    bundle: str
    index: str

    @property
    def users(self) -> list[str]:
        return self.dataset.users.ids.tolist()

    @property
    def people(self) -> DatasetPeople:
        return DatasetPeople(self.dataset)

    def open(self, bundle: str = "", index: str = "", settings: RerankConfig | None = None) -> BundleRecommender:
        return BundleRecommender.open(bundle or self.bundle, index or self.index, settings, self.people)


def _frame(rows: list[dict[str, object]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def make_dataset(titles: Sequence[str] = ()) -> Dataset:
    generator = np.random.default_rng(3)
    events = []
    for user in range(N_USERS):
        for place in range(int(generator.integers(4, 12))):
            # Users of an age prefer items of a third of the catalogue.
            item = int(generator.integers(0, N_ITEMS // 4)) * 3 + user % 3
            events.append(
                {
                    "event_id": f"e{user:03d}-{place:03d}",
                    "user_id": f"u{user:03d}",
                    "item_id": f"i{item:03d}",
                    "event": ["view", "like", "dislike"][place % 3] if place else "view",
                    "timestamp": START + timedelta(hours=int(generator.integers(0, 24 * 20))),
                    "device": ["phone", "tv"][user % 2],
                }
            )
    items = [
        {
            "item_id": f"i{item:03d}",
            "title": titles[item] if titles else f"Title {item}",
            "description": f"about topic{item % 5} and word{item % 7}",
            "categories": [f"topic{item % 5}"],
            "creator": f"c{item % 4}",
            "language": "en",
            "published_at": START - timedelta(days=item) if item != 38 else START + timedelta(days=400),
            "expires_at": START + timedelta(days=1) if item == 37 else None,
            "duration_s": 60.0 * item + 1,
        }
        for item in range(N_ITEMS)
    ]
    users = [{"user_id": f"u{user:03d}", "age": AGES[user % 3], "gender": "f"} for user in range(N_USERS)]
    features = FeaturesConfig(min_user_events=1, min_item_events=1, text_dim=4, user_columns=("age", "gender"))
    return frames_to_dataset(features, _frame(events, INTERACTIONS), _frame(users, PRIVATE_USERS), _frame(items, ITEMS))


def write_towers(folder: Path, dataset: Dataset) -> None:
    """Linear towers: query = mean history + demographics and context through fixed matrices; item = text, numbers, id."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(5)
    n_demo, text = dataset.users.demographics.shape[1], dataset.items.text.shape[1]
    numeric = dataset.items.numeric.shape[1]

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)

    def value(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, list(shape))

    i32, f32 = TensorProto.INT32, TensorProto.FLOAT
    query = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["history_vectors"], ["past"], axes=[1], keepdims=0),
            helper.make_node("Cast", ["demographics"], ["labels"], to=f32),
            helper.make_node("Cast", ["context"], ["moment"], to=f32),
            helper.make_node("MatMul", ["labels", "wd"], ["a"]),
            helper.make_node("MatMul", ["moment", "wc"], ["b"]),
            helper.make_node("Add", ["past", "a"], ["c"]),
            helper.make_node("Add", ["c", "b"], ["query"]),
        ],
        "query",
        [
            value("history_vectors", f32, "B", LENGTH, DIM),
            value("history_kinds", i32, "B", LENGTH),
            value("history_ages", i32, "B", LENGTH),
            value("user", i32, "B"),
            value("demographics", i32, "B", n_demo),
            value("context", i32, "B", 3),
        ],
        [value("query", f32, "B", DIM)],
        [constant("wd", n_demo, DIM), constant("wc", 3, DIM)],
    )
    item = helper.make_graph(
        [
            helper.make_node("MatMul", ["text", "wt"], ["a"]),
            helper.make_node("MatMul", ["numeric", "wn"], ["b"]),
            helper.make_node("Gather", ["wi", "id"], ["c"], axis=0),
            helper.make_node("Add", ["a", "b"], ["d"]),
            helper.make_node("Add", ["d", "c"], ["e"]),
            helper.make_node("Concat", ["e", "e"], ["item"], axis=1),
        ],
        "item",
        [
            value("id", i32, "N"),
            value("categories", i32, "N", dataset.items.categories.shape[1]),
            value("creator", i32, "N"),
            value("language", i32, "N"),
            value("text", f32, "N", text),
            value("numeric", f32, "N", numeric),
        ],
        [value("item", f32, "N", 2 * DIM)],
        [
            constant("wt", text, DIM),
            constant("wn", numeric, DIM),
            constant("wi", len(dataset.spec.item_vocab) + 1, DIM),
        ],
    )
    for name, graph in (("query", query), ("item", item)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / f"{name}.onnx")
    for name in ("item_vectors", "history_vectors"):
        np.save(folder / f"{name}.npy", np.zeros((len(dataset.items.ids), DIM), np.float32))
    vectors, _ = ExportedTowers.load(folder).encode_items(dataset.items)
    for name in ("item_vectors", "history_vectors"):
        np.save(folder / f"{name}.npy", vectors)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("root")
    config = Config(storage=str(root))
    dataset = make_dataset()
    write_towers(root / "towers", dataset)
    with publish(str(root / "bundles")) as bundle:
        prior = TastePrior.fit(dataset, OnboardingConfig(n_pool=N_ITEMS))
        write_bundle(bundle.path, root / "towers", dataset, {"run_key": "k1"}, prior=prior)
    towers = ExportedTowers.load(root / "towers")
    queries = np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32)
    with publish(str(root / "indexes")) as index:
        export_index(config.index, dataset.items.ids, towers.item_vectors, queries, index.path)
    return Place(config, dataset, root / "towers", bundle.uri, index.uri)


@pytest.fixture(scope="session")
def features(place: Place) -> str:
    """The training set, published."""
    with publish(f"{place.config.storage}/features") as publication:
        place.dataset.save(publication.path)
    return publication.uri
