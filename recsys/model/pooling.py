"""Pooling of histories by learned weights of place, event kind, age and content: one at a time, or a whole window."""

from recsys.model._tensorflow import tf
from recsys.model.sizes import N_KINDS, Sizes

N_HEADS = 4  # poolings: one may follow the last event, another the last session, another lasting taste
KEY = 16  # width of what attention compares, per head
N_AGES = 29  # log2 buckets of seconds, 0 is padding: see `features.histories`
_MASKED = -1e9  # logit of what may not be seen; exp of it is 0 in float32
_SLOPES = (1.0, 0.3, 0.08, 0.01)  # how fast each head forgets at the start, per event


class HistoryPooling(tf.keras.layers.Layer):  # type: ignore[misc]
    """Average history vectors [.., D] under N_HEADS softmax weightings; all zeros for an empty history.

    A weight's logit is the sum of learned terms for the events in between, the event's kind, its age, its content and
    its likeness to the last event (scaled dot-product attention, Vaswani et al. 2017, asked by the last event alone).
    With `ordered` false only kind and content count.
    """

    def __init__(self, sizes: Sizes, ordered: bool) -> None:
        super().__init__(name="history_pooling")
        length = sizes.history_length
        self._ordered = ordered
        self._content = tf.keras.layers.Dense(N_HEADS, use_bias=False, kernel_initializer="zeros", name="content")
        self._kinds = self.add_weight("kinds", [N_KINDS, N_HEADS], initializer="zeros")
        if ordered:
            start = [[-slope * place for slope in _SLOPES] for place in range(length)]
            self._places = self.add_weight("places", [length, N_HEADS], initializer=tf.constant_initializer(start))
            self._ages = self.add_weight("ages", [N_AGES, N_HEADS], initializer="zeros")
            self._asks = tf.keras.layers.Dense(N_HEADS * KEY, use_bias=False, kernel_initializer="zeros", name="asks")
            self._keys = tf.keras.layers.Dense(N_HEADS * KEY, use_bias=False, name="keys")

    def call(self, vectors: "tf.Tensor", kinds: "tf.Tensor", ages: "tf.Tensor") -> "tf.Tensor":
        """Return [B, heads x D] of one history each: vectors [B, L, D], right-aligned; kinds and ages int32[B, L]."""
        logits = self._content(vectors) + tf.gather(self._kinds, kinds)
        present = tf.cast(kinds > 0, tf.float32)[..., tf.newaxis]
        if self._ordered:
            logits += self._places[::-1] + tf.gather(self._ages, ages)
            asks = tf.reshape(self._asks(vectors[:, -1] * present[:, -1]), [-1, 1, N_HEADS, KEY])
            keys = tf.reshape(self._keys(vectors), [-1, vectors.shape[1], N_HEADS, KEY])
            logits += tf.reduce_sum(asks * keys, axis=-1) / KEY**0.5
        weights = tf.nn.softmax(logits + (1.0 - present) * _MASKED, axis=1) * present
        pooled = tf.matmul(weights, vectors, transpose_a=True)  # [B, heads, D]
        return tf.reshape(pooled, [-1, N_HEADS * vectors.shape[-1]])

    def windows(self, vectors: "tf.Tensor", kinds: "tf.Tensor", seconds: "tf.Tensor", seen: "tf.Tensor") -> "tf.Tensor":
        """Return [B, T, heads x D]: for each slot of a window, the pooling of those it may see.

        `vectors` [B, T, D], `kinds` int32[B, T], `seconds` int32[B, T] (only differences count), `seen` float32[B, T,
        T] is 1 where the row's slot may see the column's. With `seen` lower triangular, row t equals `call` on slots
        0..t-1.
        """
        logits = self._content(vectors) + tf.gather(self._kinds, kinds)  # [B, T, heads]
        logits = tf.transpose(logits, [0, 2, 1])[:, :, tf.newaxis]  # [B, heads, 1, T]
        if self._ordered:
            slot = tf.range(tf.shape(kinds)[1])
            between = tf.maximum(slot[:, tf.newaxis] - slot - 1, 0)
            logits += tf.transpose(tf.gather(self._places, between), [2, 0, 1])
            ages = age_bucket(seconds[:, :, tf.newaxis] - seconds[:, tf.newaxis])
            logits += tf.transpose(tf.gather(self._ages, ages), [0, 3, 1, 2])
            present = tf.cast(kinds > 0, tf.float32)[..., tf.newaxis]
            before = tf.pad(vectors * present, [[0, 0], [1, 0], [0, 0]])[:, :-1]
            asks, keys = _by_head(self._asks(before)), _by_head(self._keys(vectors))
            logits += tf.matmul(asks, keys, transpose_b=True) / KEY**0.5
        seen = seen[:, tf.newaxis]
        weights = tf.nn.softmax(logits + (1.0 - seen) * _MASKED, axis=-1) * seen  # [B, heads, T, T]
        pooled = tf.matmul(weights, vectors[:, tf.newaxis])  # [B, heads, T, D]
        shape = tf.shape(kinds)
        return tf.reshape(tf.transpose(pooled, [0, 2, 1, 3]), [shape[0], shape[1], N_HEADS * vectors.shape[-1]])


def _by_head(vectors: "tf.Tensor") -> "tf.Tensor":
    shape = tf.shape(vectors)
    return tf.transpose(tf.reshape(vectors, [shape[0], shape[1], N_HEADS, KEY]), [0, 2, 1, 3])


def age_bucket(seconds: "tf.Tensor") -> "tf.Tensor":
    """Return the bucket 1..28 of ages in seconds, as `features.histories` numbers them."""
    powers = [2.0**exponent for exponent in range(N_AGES - 2)]
    return tf.raw_ops.Bucketize(input=seconds, boundaries=powers) + 1
