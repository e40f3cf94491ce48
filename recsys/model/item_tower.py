"""The item (candidate) tower: id, categories, creator, language, text and numbers to vectors."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf
from recsys.model.content_start import ContentWeights, Floats
from recsys.model.sizes import Sizes

FEW = 256  # categories up to which counting them is cheaper than looking each up
WIDEN = 2  # hidden width of the residual network, in multiples of dim
_TINY = 1e-6  # squared length of a vector that is as good as none


class ItemTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """Map item features to what an item is as a candidate and what it says in a history: float32[N, 2 D].

    With `ordered`, the two halves have tables of their own: what follows an item is another question than what an item
    follows, and one table for both answers neither as well. Where order says nothing the two questions are one, and
    one table answers both, learning from twice as much: see `_two_sides`. Inputs: `id` int32[N], `categories`
    int32[N, C], `creator` int32[N], `language` int32[N], `text` float32[N, T], `numeric` float32[N, M]; index 0 is
    unknown everywhere and adds nothing. While training, a share `id_dropout` of the ids is masked, so that content
    alone learns to place an item nobody has seen.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes, ordered: bool) -> None:
        super().__init__(name="item_tower")
        self._id_dropout = config.id_dropout
        self._dim = sizes.dim
        names = ("candidate", "past") if ordered else ("both",)
        self._encoders = [ItemEncoder(name, config, sizes) for name in names]

    def call(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return candidate vectors beside history vectors, float32[N, 2 D]."""
        if training:
            inputs = {**inputs, "id": mask_ids(inputs["id"], self._id_dropout)}
        vectors = [encoder(inputs, training=training) for encoder in self._encoders]
        return tf.concat(vectors if len(vectors) > 1 else _two_sides(*vectors), axis=1)

    def start(self, vocab: NDArray[np.int32], trust: Floats, ids: Floats, content: ContentWeights) -> None:
        """Set where training starts: what the ids of items `vocab` [N] say [N, K], of contents the weights to K.

        K is 2 D, or D where one table says both. Of what an id learns the share `trust` [N] is said.
        """
        for number, encoder in enumerate(self._encoders):
            encoder.start(vocab, trust, ids, content, slice(number * self._dim, (number + 1) * self._dim))

    def encoded(self, vectors: Floats) -> Floats:
        """Return what the tables say, float32[N, K], of items that the tower maps to `vectors` [N, 2 D]."""
        if len(self._encoders) > 1:
            return vectors
        return np.hstack([vectors[:, self._dim : -1] / self._dim**0.5, vectors[:, self._dim - 1 : self._dim]])


class ItemEncoder(tf.keras.layers.Layer):  # type: ignore[misc]
    """Sum an item's embedded features and refine what content says by a residual network that starts as nothing.

    An id says a share of what it learns: as much as its events can be trusted.
    """

    def __init__(self, name: str, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(name=name)
        self.ids = embedding(sizes.n_item_ids, sizes.dim, "ids")
        self._categories = embedding(sizes.n_categories, sizes.dim, "categories")
        self._creators = embedding(sizes.n_creators, sizes.dim, "creators")
        self._languages = embedding(sizes.n_languages, sizes.dim, "languages")
        self._text = tf.keras.layers.Dense(sizes.dim, use_bias=False, kernel_initializer=_start(), name="text")
        self._numeric = tf.keras.layers.Dense(sizes.dim, kernel_initializer=_start(), name="numeric")
        self._refines = sizes.has_content
        self._trust = tf.keras.layers.Embedding(sizes.n_item_ids, 1, "ones", trainable=False, name="trust")
        self._hidden = tf.keras.layers.Dense(WIDEN * sizes.dim, activation="relu", name="hidden")
        self._drop = tf.keras.layers.Dropout(config.dropout, name="drop")
        self._out = tf.keras.layers.Dense(sizes.dim, kernel_initializer="zeros", name="out")

    def call(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return float32[N, D]."""
        content = (
            _mean_known(self._categories, inputs["categories"])
            + embed_known(self._creators, inputs["creator"])
            + embed_known(self._languages, inputs["language"])
            + self._text(inputs["text"])
            + self._numeric(inputs["numeric"])
        )
        if self._refines:
            content += self._out(self._drop(self._hidden(content), training=training))
        return embed_known(self.ids, inputs["id"]) * self._trust(inputs["id"]) + content

    def start(self, vocab: NDArray[np.int32], trust: Floats, ids: Floats, content: ContentWeights, half: slice) -> None:
        """Set what ids say [N, ..] and content weights to columns `half` of those given."""
        known = np.flatnonzero(vocab)
        table, shares = np.zeros_like(self.ids.embeddings), np.ones_like(self._trust.embeddings)
        shares[vocab[known], 0] = trust[known]
        table[vocab[known]] = ids[known, half] / trust[known, np.newaxis]
        for variable, value in (
            (self.ids.embeddings, table),
            (self._trust.embeddings, shares),
            (self._categories.embeddings, content.categories[:, half]),
            (self._creators.embeddings, content.creators[:, half]),
            (self._languages.embeddings, content.languages[:, half]),
            (self._text.kernel, content.text[:, half]),
            (self._numeric.kernel, content.numeric[:, half]),
            (self._numeric.bias, content.bias[half]),
        ):
            variable.assign(value)


def _two_sides(encoded: "tf.Tensor") -> "list[tf.Tensor]":
    """Return the parts of candidate and history vectors that one encoding float32[N, D] stands for.

    All but the last dimension, divided by the root of their length, are the candidate: between a cosine, which forgets
    how much is known of an item, and a product, which grows with the item's events. Times sqrt(D) they are the history
    vector, as long as what the query tower is made for. The last is the candidate's popularity; histories say 1 there.
    """
    body, popularity = tf.split(encoded, [encoded.shape[1] - 1, 1], axis=1)
    square = tf.reduce_sum(body * body, axis=1, keepdims=True)
    lengthened = body * encoded.shape[1] ** 0.5
    return [body / (square + _TINY) ** 0.25, popularity, lengthened, tf.ones_like(popularity)]


def mask_ids(ids: "tf.Tensor", share: float) -> "tf.Tensor":
    """Set a random share of the ids [N] to 0, unknown."""
    return tf.where(tf.random.uniform(tf.shape(ids)) < share, tf.zeros_like(ids), ids)


def embed_known(layer: "tf.keras.layers.Embedding", index: "tf.Tensor") -> "tf.Tensor":
    """Look up rows, with zeros for index 0: [N] to [N, D]."""
    return layer(index) * tf.cast(index > 0, tf.float32)[..., tf.newaxis]


def embedding(n_rows: int, dim: int, name: str) -> "tf.keras.layers.Embedding":
    """Return a table whose rows start small."""
    return tf.keras.layers.Embedding(n_rows, dim, embeddings_initializer=_start(), name=name)


def _start() -> "tf.keras.initializers.Initializer":
    # Small beside the start from the data.
    return tf.keras.initializers.RandomNormal(stddev=0.01)


def _mean_known(layer: "tf.keras.layers.Embedding", index: "tf.Tensor") -> "tf.Tensor":
    n_known = tf.reduce_sum(tf.cast(index > 0, tf.float32), axis=1, keepdims=True)
    if layer.input_dim <= FEW:
        counts = tf.reduce_sum(tf.one_hot(index, layer.input_dim), axis=1)  # [N, n]
        total = tf.matmul(counts[:, 1:], layer(tf.range(1, layer.input_dim)))
    else:
        total = tf.reduce_sum(embed_known(layer, index), axis=1)
    return total / tf.maximum(n_known, 1.0)
