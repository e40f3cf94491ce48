"""Fit other people's models on a case's split and write their lists. Runs in `.venv-peers`, without our code.

    .venv-peers/bin/python benchmarks/peers/run.py v5 ials item_knn ease sasrec keras_rs

Reads `state/bench/CASE/split/FOLD.parquet` (see `split.py`), fits on everything before test, writes
`state/bench/CASE/peers/MODEL/FOLD.parquet` with user_id, item_id, rank, score. Settings are the libraries' defaults or
those their authors publish for this kind of data, iALS' settings are chosen on validation; nothing by test.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # what implicit asks for: it has threads of its own

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

OUT = Path(__file__).resolve().parent.parent.parent / "state" / "bench"
K = 50
_SEED = 11
_IALS = {"alpha": (2.0, 10.0, 40.0, 100.0), "regularization": (10.0, 1.0, 5.0, 20.0, 40.0, 100.0), "factors": (64, 128)}

# Not asked unless named: a sequence model where order says nothing, EASE where its inverse takes 13 GiB.
_LEFT = {"v1": {"sasrec"}, "v3": {"sasrec", "ease"}}


class Split(NamedTuple):
    """What a peer may know: each user's items in order, who is asked, what may be ranked; all as row numbers."""

    users: list[str]
    items: list[str]
    user: np.ndarray
    item: np.ndarray
    validates: np.ndarray
    asked: np.ndarray
    recommendable: np.ndarray

    def matrix(self, chosen: np.ndarray | slice = slice(None)) -> csr_matrix:  # a slice never changes
        """Return float32[n_users, n_items] of ones, of the chosen events."""
        user, item = self.user[chosen], self.item[chosen]
        matrix = csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(len(self.users), len(self.items)))
        matrix.data[:] = 1
        return matrix


def read(path: Path) -> Split:
    """Read a fold; only the users of its test rows are used, never their items."""
    rows = pl.read_parquet(path).sort("place")
    users, items = rows["user_id"].unique().sort().to_list(), rows["item_id"].unique().sort().to_list()
    known = rows.filter(pl.col("split") < 2)
    row_of, column_of = ({name: place for place, name in enumerate(names)} for names in (users, items))
    allowed = rows.filter("recommendable")["item_id"].unique().to_list()
    recommendable = np.zeros(len(items), bool)
    recommendable[[column_of[item] for item in allowed]] = True
    asked = sorted(row_of[user] for user in rows.filter(pl.col("split") == 2)["user_id"].unique())
    return Split(
        users,
        items,
        np.array([row_of[user] for user in known["user_id"]]),
        np.array([column_of[item] for item in known["item_id"]]),
        (known["split"] == 1).to_numpy(),
        np.array(asked),
        recommendable,
    )


def ials(split: Split) -> Callable[[np.ndarray], np.ndarray]:
    """Implicit's alternating least squares (Hu et al. 2008); validation chooses each of `_IALS` in turn."""
    from implicit.als import AlternatingLeastSquares

    def fit(matrix: csr_matrix, settings: dict[str, float]):
        model = AlternatingLeastSquares(iterations=15, random_state=_SEED, **settings)
        model.fit(matrix, show_progress=False)
        return model

    train, asked = split.matrix(~split.validates), split.matrix(split.validates)
    best: dict[str, float] = {name: values[0] for name, values in _IALS.items()}
    for name, values in _IALS.items():
        found = {value: _recall(fit(train, best | {name: value}), train, asked) for value in values}
        best[name] = max(found, key=found.__getitem__)
    print(f"ials {best}", flush=True)
    model = fit(split.matrix(), best)
    return lambda users: model.user_factors[users] @ model.item_factors.T


def item_knn(split: Split) -> Callable[[np.ndarray], np.ndarray]:
    """Implicit's cosine item-kNN with 100 neighbours."""
    from implicit.nearest_neighbours import CosineRecommender

    model, matrix = CosineRecommender(K=100), split.matrix()
    model.fit(matrix, show_progress=False)
    return lambda users: (matrix[users] @ model.similarity.T).toarray()


def ease(split: Split) -> Callable[[np.ndarray], np.ndarray]:
    """RecTools' EASE with lambda 300."""
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    dataset = Dataset.construct(_frame(split))
    model = EASEModel(regularization=300.0)
    model.fit(dataset)
    return _by_external_ids(split, dataset, lambda rows: dataset.get_user_item_matrix(include_weights=False)[rows] @
                            np.asarray(model.weight))  # fmt: skip


def sasrec(split: Split) -> Callable[[np.ndarray], np.ndarray]:
    """RecTools' SASRec with a full softmax: 2 blocks, 64 factors, 10 epochs, last 100 events.

    Where 95 % of the users have fewer events, as many as those.
    """
    import torch
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    torch.manual_seed(_SEED)
    lengths = np.bincount(split.user)
    longest = int(min(100, np.quantile(lengths[lengths > 0], 0.95)))
    dataset = Dataset.construct(_frame(split))
    model = SASRecModel(n_factors=64, n_blocks=2, n_heads=1, session_max_len=longest, epochs=10, loss="softmax",
                        dataloader_num_workers=0, verbose=0)  # fmt: skip
    model.fit(dataset)
    users = [split.users[row] for row in split.asked]
    lists = model.recommend(users, dataset, K, filter_viewed=True,
                            items_to_recommend=np.array(split.items)[split.recommendable])  # fmt: skip
    scores = np.full((len(split.users), len(split.items)), -np.inf, np.float32)
    rows = {name: place for place, name in enumerate(split.users)}
    columns = {name: place for place, name in enumerate(split.items)}
    place = ([rows[user] for user in lists["user_id"]], [columns[item] for item in lists["item_id"]])
    scores[place] = lists["score"]
    return lambda chosen: scores[chosen]


def keras_rs(split: Split) -> Callable[[np.ndarray], np.ndarray]:
    """The two towers of KerasRS' retrieval guide: embeddings of ids, in-batch softmax without accidental hits."""
    import keras
    import keras_rs

    keras.utils.set_random_seed(_SEED)
    user_tower = keras.layers.Embedding(len(split.users), 64)
    item_tower = keras.layers.Embedding(len(split.items), 64)
    hits = keras_rs.layers.RemoveAccidentalHits()

    class Retrieval(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.user_tower, self.item_tower = user_tower, item_tower

        def call(self, inputs):
            logits = keras.ops.matmul(user_tower(inputs["user"]), keras.ops.transpose(item_tower(inputs["item"])))
            labels = keras.ops.eye(keras.ops.shape(logits)[0])
            return hits(logits, labels, inputs["item"])

    def loss(_, logits):
        labels = keras.ops.arange(keras.ops.shape(logits)[0])
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    model = Retrieval()
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    inputs = {"user": split.user.astype(np.int32), "item": split.item.astype(np.int32)}
    model.fit(inputs, np.zeros(len(split.user), np.float32), batch_size=1024, epochs=10, verbose=0)
    users, items = (keras.ops.convert_to_numpy(each.embeddings) for each in (user_tower, item_tower))
    return lambda rows: users[rows] @ items.T


MODELS = {"ials": ials, "item_knn": item_knn, "ease": ease, "sasrec": sasrec, "keras_rs": keras_rs}


def lists_of(split: Split, score: Callable[[np.ndarray], np.ndarray]) -> pl.DataFrame:
    """Return the K best unseen, recommendable items of every asked user."""
    seen, frames = split.matrix(), []
    users, items = np.array(split.users), np.array(split.items)
    for start in range(0, len(split.asked), 512):
        rows = split.asked[start : start + 512]
        scores = np.array(score(rows), np.float64)
        scores[seen[rows].nonzero()] = -np.inf
        scores[:, ~split.recommendable] = -np.inf
        best = _best(scores)
        found = np.take_along_axis(scores, best, axis=1)
        user, place = np.nonzero(np.isfinite(found))
        frames.append(pl.DataFrame({"user_id": users[rows[user]], "item_id": items[best[user, place]],
                                    "rank": place + 1, "score": found[user, place]}))  # fmt: skip
    return pl.concat(frames)


def _best(scores: np.ndarray) -> np.ndarray:
    """Return the columns [n, K] of each row's greatest scores, of a tie the first; faster than sorting rows."""
    last = -np.partition(-scores, K - 1, axis=1)[:, K - 1 : K]
    above, tied = scores > last, scores == last
    kept = above | (tied & (np.cumsum(tied, axis=1) <= K - above.sum(axis=1, keepdims=True)))
    columns = kept.nonzero()[1].reshape(-1, K)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def main(case: str, names: list[str]) -> None:
    """Fit each model on each fold of a case."""
    for path in sorted((OUT / case / "split").glob("*.parquet")):
        split = read(path)
        for name in names or [name for name in MODELS if name not in _LEFT.get(case, ())]:
            started = time.perf_counter()
            lists = lists_of(split, MODELS[name](split))
            target = OUT / case / "peers" / f"peer_{name}" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            lists.write_parquet(target)
            print(f"{case} fold {path.stem} {name}: {time.perf_counter() - started:.1f} s", flush=True)


def _recall(model, train: csr_matrix, asked: csr_matrix, k: int = 10, block: int = 512) -> float:
    """Return the mean share of asked items among a factor model's k best unseen ones."""
    values = []
    for start in range(0, train.shape[0], block):
        scores = model.user_factors[start : start + block] @ model.item_factors.T
        scores[train[start : start + block].nonzero()] = -np.inf
        best = np.argpartition(-scores, k, axis=1)[:, :k]
        own = asked[start : start + block]
        n = np.diff(own.indptr)
        hits = np.take_along_axis(own.toarray(), best, axis=1).sum(axis=1)
        values.append(hits[n > 0] / np.minimum(n[n > 0], k))
    return float(np.concatenate(values).mean())


def _frame(split: Split):
    import pandas as pd

    return pd.DataFrame(
        {
            "user_id": np.array(split.users)[split.user],
            "item_id": np.array(split.items)[split.item],
            "weight": 1.0,
            "datetime": pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(split.user)), unit="s"),
        }
    )


def _by_external_ids(split: Split, dataset, score: Callable[[np.ndarray], np.ndarray]):
    """Return scores in our rows and columns from a model with rows and columns of its own."""
    known = dataset.item_id_map.external_ids
    columns = {name: place for place, name in enumerate(split.items)}
    mine = [columns[name] for name in known]

    def scored(rows: np.ndarray) -> np.ndarray:
        own = dataset.user_id_map.convert_to_internal([split.users[row] for row in rows])
        result = np.full((len(rows), len(split.items)), -np.inf)
        result[:, mine] = np.asarray(score(own))
        return result

    return scored


if __name__ == "__main__":
    main(sys.argv[1].lower(), sys.argv[2:])
