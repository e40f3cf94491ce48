"""The two-tower model and its losses: full softmax for small catalogues, TFRS in-batch softmax for large ones."""

from collections.abc import Mapping

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf, tfrs
from recsys.model.item_tower import ItemTower
from recsys.model.query_tower import QueryTower
from recsys.model.sizes import Sizes


class FullSoftmax(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of each query's target against every item of the catalogue; nothing is sampled or corrected."""

    def __init__(self, temperature: float) -> None:
        super().__init__(name="full_softmax")
        self._temperature = temperature

    def call(
        self, queries: "tf.Tensor", candidates: "tf.Tensor", targets: "tf.Tensor", sample_weight: "tf.Tensor"
    ) -> "tf.Tensor":
        """Return the weighted sum of losses of queries [B, D], candidates [N, D], targets int32[B] (rows of them)."""
        logits = tf.matmul(queries / self._temperature, candidates, transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        return tf.reduce_sum(losses * sample_weight)


class TwoTower(tfrs.models.Model):  # type: ignore[misc]
    """Query and item tower under one loss.

    A batch holds the query tower's inputs, but `history` int32[B, L] in place of vectors (1 + a row of `items`, 0
    padding), `items` (the item tower's inputs), `target` int32[B] (a row of `items`) and `weight` float32[B];
    in-batch softmax also needs `target_id` int32[B] and `sampling_probability` float32[B].
    """

    def __init__(self, config: ModelConfig, sizes: Sizes, full: bool) -> None:
        super().__init__()
        self.query_tower = QueryTower(config, sizes)
        self.item_tower = ItemTower(config, sizes)
        self.full_softmax = FullSoftmax(config.temperature) if full else None
        self.in_batch_softmax = in_batch_softmax(config.temperature)
        self._l2 = config.l2

    def compute_loss(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return the mean loss per unit of weight, plus L2."""
        vectors = self.item_tower(inputs["items"], training=training)
        queries = self.query_tower(with_history_vectors(inputs, vectors), training=training)
        weight = inputs["weight"]
        if self.full_softmax is not None:
            loss = self.full_softmax(queries, vectors, inputs["target"], weight)
        else:
            loss = self.in_batch_softmax(
                queries,
                tf.gather(vectors, inputs["target"]),
                sample_weight=weight,
                candidate_sampling_probability=inputs["sampling_probability"],
                candidate_ids=inputs["target_id"],
                compute_metrics=False,
                compute_batch_metrics=False,
            )
        penalty = tf.add_n([tf.nn.l2_loss(variable) for variable in self.trainable_variables])
        return loss / tf.reduce_sum(weight) + self._l2 * penalty


def in_batch_softmax(temperature: float) -> "tfrs.tasks.Retrieval":
    """Return the task whose negatives are the other targets of the batch.

    A frequent item is a negative more often than a rare one; the task subtracts the log of `sampling_probability`
    from each logit to undo that (Yi et al., 2019, "Sampling-bias-corrected neural modeling"). A candidate equal to the
    query's own target is an accidental hit and is left out.
    """
    return tfrs.tasks.Retrieval(temperature=temperature, remove_accidental_hits=True)


def with_history_vectors(inputs: Mapping[str, "tf.Tensor"], vectors: "tf.Tensor") -> dict[str, "tf.Tensor"]:
    """Return the query tower's inputs: `history` [B, L] (1 + row of vectors [N, D]) becomes vectors [B, L, D]."""
    padded = tf.concat([tf.zeros_like(vectors[:1]), vectors], axis=0)
    return {**inputs, "history_vectors": tf.gather(padded, inputs["history"])}
