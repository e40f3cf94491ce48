"""The query tower: recent history, user id, demographics and context to one vector."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf
from recsys.model.item_tower import embed_known, mask_ids
from recsys.model.pooling import N_AGES, N_HEADS, HistoryPooling, age_bucket
from recsys.model.sizes import N_HOURS, N_WEEKDAYS, Sizes

WIDEN = 4  # hidden width of the residual network, in multiples of dim


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """Map users at a moment to vectors float32[B, D].

    Inputs: `history_vectors` float32[B, L, D] (the item tower's second half, right-aligned, zeros where padded),
    `history_kinds` int32[B, L] (0 padding), `history_ages` int32[B, L], `user` int32[B], `demographics`
    int32[B, n_demo], `context` int32[B, 3] (hour + 1, weekday + 1, device); 0 is unknown and adds nothing.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes, ordered: bool) -> None:
        super().__init__(name="query_tower")
        self._id_dropout = config.user_id_dropout
        self._history_dropout = config.history_dropout
        self._ordered = ordered
        self._pool = HistoryPooling(sizes, ordered)
        self._mix = tf.keras.layers.Dense(sizes.dim, kernel_initializer=_mean_of_heads, name="mix")
        self._length = tf.keras.layers.Dense(sizes.dim, use_bias=False, kernel_initializer="zeros", name="length")
        self.users = _small(sizes.n_user_ids, sizes.dim, "users")
        self.demographics = [_small(n, sizes.dim, f"demographic_{i}") for i, n in enumerate(sizes.n_demographics)]
        self._demographic_net = [tf.keras.layers.Dense(sizes.dim, activation=each, name=f"demographic_net_{i}")
                                 for i, each in enumerate(("relu", None))]  # fmt: skip
        self._context = [_small(n, sizes.dim, f"context_{i}")
                         for i, n in enumerate((N_HOURS, N_WEEKDAYS, sizes.n_devices))]  # fmt: skip
        self.devices = self._context[-1]
        self._recency = _small(N_AGES, sizes.dim, "recency")
        self._drop = tf.keras.layers.Dropout(config.dropout, name="drop")
        self._inner_norm = tf.keras.layers.LayerNormalization(epsilon=1e-6, name="inner_norm")
        self._hidden = tf.keras.layers.Dense(WIDEN * sizes.dim, activation="relu", name="hidden")
        self._out = tf.keras.layers.Dense(sizes.dim, kernel_initializer="zeros", name="out")
        self._norm = tf.keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def call(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return float32[B, D]."""
        vectors, kinds = inputs["history_vectors"], inputs["history_kinds"]
        present = tf.cast(kinds > 0, tf.float32)
        pooled = self._pool(vectors, kinds, inputs["history_ages"])
        length = tf.reduce_sum(present, axis=1, keepdims=True)
        last = vectors[:, -1] * present[:, -1:]
        recency = inputs["history_ages"][:, -1]
        person = self._person(inputs, training)
        return self._combine(pooled, last, recency, length, person, inputs["context"], training)

    def windows(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return float32[Q, D]: the queries of `slots` of windows of events, each from the slots it may see.

        `slots` int32[Q] are places among the B x T. `history_vectors` [B, T, D], `history_kinds` int32[B, T] (0
        padding), `parts` int32[B, T], `seconds` int32[B, T], `context` int32[B, T, 3] of the slot's own event; `user`
        and `demographics` as above. An ordered slot sees those before it, another those of other parts than its own.
        """
        vectors, kinds = inputs["history_vectors"], inputs["history_kinds"]
        present = tf.cast(kinds > 0, tf.float32)
        if training:
            vectors = self._drop(vectors, training=True)
            kept = tf.cast(tf.random.uniform(tf.shape(kinds)) >= self._history_dropout, tf.float32)
            present *= kept
        seen = self.sight(inputs["parts"]) * present[:, tf.newaxis]
        pooled = self._pool.windows(vectors, kinds, inputs["seconds"], seen)
        last = tf.pad(vectors * present[..., tf.newaxis], [[0, 0], [1, 0], [0, 0]])[:, :-1]
        seconds, slots = inputs["seconds"], inputs["slots"]
        recency = tf.where(kinds[:, :-1] > 0, age_bucket(seconds[:, 1:] - seconds[:, :-1]), 0)
        recency = tf.pad(recency, [[0, 0], [1, 0]])[..., tf.newaxis]

        def asked(each: "tf.Tensor") -> "tf.Tensor":
            return tf.gather(tf.reshape(each, [-1, each.shape[-1]]), slots)

        return self._combine(
            self._drop(asked(pooled), training=training),
            asked(last),
            asked(recency)[:, 0],
            asked(tf.reduce_sum(seen, axis=2)[..., tf.newaxis]),
            tf.gather(self._person(inputs, training), slots // tf.shape(kinds)[1]),
            asked(inputs["context"]),
            training,
        )

    def times(self, factors: NDArray[np.float32]) -> None:
        """Multiply the vectors of a built tower by `factors` [D]."""
        for variable in (self._norm.gamma, self._norm.beta):
            variable.assign(variable * factors)

    def sight(self, parts: "tf.Tensor") -> "tf.Tensor":
        """Return float32[B, T, T] of `parts` int32[B, T]: 1 where the row's slot may see the column's."""
        if not self._ordered:
            return tf.cast(parts[:, :, tf.newaxis] != parts[:, tf.newaxis], tf.float32)
        shape = tf.shape(parts)
        before = tf.linalg.band_part(tf.ones([shape[1], shape[1]]), -1, 0) - tf.eye(shape[1])
        return tf.tile(before[tf.newaxis], [shape[0], 1, 1])

    def _person(self, inputs: Mapping[str, "tf.Tensor"], training: bool) -> "tf.Tensor":
        users = mask_ids(inputs["user"], self._id_dropout) if training else inputs["user"]
        user = embed_known(self.users, users)
        person = _sum_known(self.demographics, inputs["demographics"], user)
        for layer in self._demographic_net:
            person = layer(person)
        return user + person

    def _combine(self, pooled: "tf.Tensor", last: "tf.Tensor", recency: "tf.Tensor", length: "tf.Tensor",
                 person: "tf.Tensor", context: "tf.Tensor", training: bool) -> "tf.Tensor":  # fmt: skip
        mixed = self._mix(pooled) + person + self._length(tf.math.log(1.0 + length))
        mixed = _sum_known(self._context, context, mixed) + mixed
        if self._ordered:
            mixed += last + embed_known(self._recency, recency)
        parts = [self._inner_norm(mixed), pooled, last] if self._ordered else [self._inner_norm(mixed), pooled]
        hidden = self._hidden(tf.concat(parts, axis=1))
        return self._norm(mixed + self._drop(self._out(hidden), training=training))


def _mean_of_heads(shape: "tf.TensorShape", dtype: "tf.DType | None" = None) -> "tf.Tensor":
    return tf.tile(tf.eye(shape[1], dtype=dtype or tf.float32), [N_HEADS, 1]) / N_HEADS


def _sum_known(layers: "list[tf.keras.layers.Embedding]", index: "tf.Tensor", like: "tf.Tensor") -> "tf.Tensor":
    rows = [embed_known(layer, index[:, column]) for column, layer in enumerate(layers)]
    return tf.add_n(rows) if rows else tf.zeros_like(like)


def _small(n_rows: int, dim: int, name: str) -> "tf.keras.layers.Embedding":
    # Small beside the history, so that an id first speaks when its user's events have taught it.
    start = tf.keras.initializers.RandomNormal(0.0, 0.02)
    return tf.keras.layers.Embedding(n_rows, dim, embeddings_initializer=start, name=name)
