"""The item (candidate) tower: id, categories, creator, language, text and numbers to one vector."""

from collections.abc import Mapping

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf
from recsys.model.sizes import Sizes

_WIDEN = 2  # hidden width of the residual network, in multiples of dim


class ItemTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """Map item features to unit vectors float32[N, D].

    Inputs: `id` int32[N], `categories` int32[N, C], `creator` int32[N], `language` int32[N], `text` float32[N, T],
    `numeric` float32[N, M]; index 0 is unknown everywhere and adds nothing. While training, a share `id_dropout` of
    the ids is masked, so that content alone learns to place an item nobody has seen.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(name="item_tower")
        self._id_dropout = config.id_dropout
        self._ids = _embedding(sizes.n_item_ids, sizes.dim)
        self._categories = _embedding(sizes.n_categories, sizes.dim)
        self._creators = _embedding(sizes.n_creators, sizes.dim)
        self._languages = _embedding(sizes.n_languages, sizes.dim)
        self._text = tf.keras.layers.Dense(sizes.dim, use_bias=False)
        self._numeric = tf.keras.layers.Dense(sizes.dim)
        self._hidden = tf.keras.layers.Dense(_WIDEN * sizes.dim, activation="relu")
        self._drop = tf.keras.layers.Dropout(config.dropout)
        self._out = tf.keras.layers.Dense(sizes.dim)

    def call(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return unit vectors float32[N, D]."""
        ids = inputs["id"]
        if training:
            ids = mask_ids(ids, self._id_dropout)
        mixed = (
            embed_known(self._ids, ids)
            + _mean_known(self._categories, inputs["categories"])
            + embed_known(self._creators, inputs["creator"])
            + embed_known(self._languages, inputs["language"])
            + self._text(inputs["text"])
            + self._numeric(inputs["numeric"])
        )
        refined = mixed + self._out(self._drop(self._hidden(mixed), training=training))
        return tf.math.l2_normalize(refined, axis=-1)


def mask_ids(ids: "tf.Tensor", share: float) -> "tf.Tensor":
    """Set a random share of the ids [N] to 0, unknown."""
    return tf.where(tf.random.uniform(tf.shape(ids)) < share, tf.zeros_like(ids), ids)


def embed_known(layer: "tf.keras.layers.Embedding", index: "tf.Tensor") -> "tf.Tensor":
    """Look up rows, with zeros for index 0: [N] to [N, D]."""
    return layer(index) * tf.cast(index > 0, tf.float32)[..., tf.newaxis]


def _mean_known(layer: "tf.keras.layers.Embedding", index: "tf.Tensor") -> "tf.Tensor":
    n_known = tf.reduce_sum(tf.cast(index > 0, tf.float32), axis=1, keepdims=True)
    return tf.reduce_sum(embed_known(layer, index), axis=1) / tf.maximum(n_known, 1.0)


def _embedding(n_rows: int, dim: int) -> "tf.keras.layers.Embedding":
    # 1 / sqrt(dim) gives rows of about unit length, the length of every other summand's start.
    start = tf.keras.initializers.RandomNormal(stddev=dim**-0.5)
    return tf.keras.layers.Embedding(n_rows, dim, embeddings_initializer=start)
