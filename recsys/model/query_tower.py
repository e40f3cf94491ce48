"""The query tower: recent history, user id, demographics and context to one vector."""

from collections.abc import Mapping

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf
from recsys.model.item_tower import embed_known, mask_ids
from recsys.model.sizes import N_HOURS, N_KINDS, N_WEEKDAYS, Sizes

N_GAPS = 32  # log2 buckets of hours: 2**31 hours is longer than any history
_N_HEADS = 2  # two poolings: one can follow the last events, the other the long-term taste
_MASKED = -1e9  # logit of padding; exp of it is 0 in float32


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """Map users at a moment to unit vectors float32[B, D].

    Inputs: `history_vectors` float32[B, L, D] (item-tower outputs, right-aligned, zeros where padded),
    `history_kinds` int32[B, L] (0 padding), `history_gaps` int32[B, L], `user` int32[B], `demographics`
    int32[B, n_demo], `context` int32[B, 3] (hour + 1, weekday + 1, device); 0 is unknown and adds nothing.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(name="query_tower")
        self._id_dropout = config.user_id_dropout
        self._pool = HistoryPooling(sizes)
        self._users = _embedding(sizes.n_user_ids, sizes.dim)
        self._demographics = [_embedding(n, sizes.dim) for n in sizes.n_demographics]
        self._demographic_net = [tf.keras.layers.Dense(sizes.dim, activation="relu"), tf.keras.layers.Dense(sizes.dim)]
        self._context = [_embedding(n, sizes.dim) for n in (N_HOURS, N_WEEKDAYS, sizes.n_devices)]
        self._drop = tf.keras.layers.Dropout(config.dropout)
        self._hidden = tf.keras.layers.Dense(2 * sizes.dim, activation="relu")
        self._out = tf.keras.layers.Dense(sizes.dim)

    def call(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return unit vectors float32[B, D]."""
        users = mask_ids(inputs["user"], self._id_dropout) if training else inputs["user"]
        pooled, last, length = self._pool(inputs)
        user = embed_known(self._users, users)
        person = _sum_known(self._demographics, inputs["demographics"], user)
        for layer in self._demographic_net:
            person = layer(person)
        context = _sum_known(self._context, inputs["context"], user)
        together = tf.concat([pooled, last, user, person, context, length], axis=1)
        hidden = self._hidden(self._drop(together, training=training))
        dim = tf.shape(last)[1]
        mixed = pooled[:, :dim] + last + user + person + context + self._out(self._drop(hidden, training=training))
        return tf.math.l2_normalize(mixed, axis=-1)


class HistoryPooling(tf.keras.layers.Layer):  # type: ignore[misc]
    """Pool a history by learned weights of position, event kind, age and content, one pooling per head.

    Returns (pooled [B, heads x D], last item [B, D], log of 1 + length [B, 1]); all zeros for an empty history.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(name="history_pooling")
        self._length = sizes.history_length
        self._dim = sizes.dim
        self._content = tf.keras.layers.Dense(_N_HEADS, use_bias=False)
        self._positions = self.add_weight("positions", [sizes.history_length, _N_HEADS], initializer="zeros")
        self._kinds = self.add_weight("kinds", [N_KINDS, _N_HEADS], initializer="zeros")
        self._gaps = self.add_weight("gaps", [N_GAPS, _N_HEADS], initializer="zeros")

    def call(self, inputs: Mapping[str, "tf.Tensor"]) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
        """Return the poolings, the last item's vector and the log length."""
        vectors, kinds = inputs["history_vectors"], inputs["history_kinds"]
        present = tf.cast(kinds > 0, tf.float32)[..., tf.newaxis]  # [B, L, 1]
        gaps = tf.gather(self._gaps, tf.clip_by_value(inputs["history_gaps"], 0, N_GAPS - 1))
        logits = self._content(vectors) + self._positions + tf.gather(self._kinds, kinds) + gaps  # [B, L, heads]
        weights = tf.nn.softmax(logits + (1.0 - present) * _MASKED, axis=1) * present
        pooled = tf.matmul(weights, vectors, transpose_a=True)  # [B, heads, D]
        last = vectors[:, -1] * present[:, -1]
        length = tf.math.log(1.0 + tf.reduce_sum(present, axis=1))
        return tf.reshape(pooled, [-1, _N_HEADS * self._dim]), last, length


def _sum_known(layers: "list[tf.keras.layers.Embedding]", index: "tf.Tensor", like: "tf.Tensor") -> "tf.Tensor":
    rows = [embed_known(layer, index[:, column]) for column, layer in enumerate(layers)]
    return tf.add_n(rows) if rows else tf.zeros_like(like)


def _embedding(n_rows: int, dim: int) -> "tf.keras.layers.Embedding":
    # Small beside the unit-length history, so that an id first speaks when its user's events have taught it.
    return tf.keras.layers.Embedding(n_rows, dim, embeddings_initializer=tf.keras.initializers.RandomNormal(0.0, 0.02))
