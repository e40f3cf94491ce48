"""The two-tower model and its loss: softmax over the catalogue, or over a corrected sample of it."""

import math
from collections.abc import Mapping

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf, tfrs
from recsys.model.item_tower import ItemTower
from recsys.model.query_tower import QueryTower
from recsys.model.sizes import Sizes

_BARRED = -1e9  # logit of what may not be the answer; exp of it is 0 in float32
_TINY = 1e-30  # share of what is not there, whose logarithm must be finite


class CandidateSoftmax(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of each query's target against a set of candidates, each standing for 1 / P(in the set) items.

    With the whole catalogue as the set, every probability is 1 and this is the full softmax. With a sample, dividing
    by the probability of inclusion makes the sum over candidates an unbiased estimate of the sum over the catalogue
    (Horvitz and Thompson 1952; "sampling-bias correction" of Yi et al. 2019, with in-batch and drawn negatives mixed
    as in Yang et al. 2020). The target is in the set for certain, so its own term stands for itself alone. No
    candidate stands twice in the set, so there are no accidental hits.
    """

    def call(
        self,
        queries: "tf.Tensor",
        candidates: "tf.Tensor",
        asked: "tf.Tensor",
        targets: "tf.Tensor",
        log_inclusion: "tf.Tensor",
        sample_weight: "tf.Tensor",
        met: "tf.Tensor",
        log_there: "tf.Tensor | None" = None,
    ) -> "tf.Tensor":
        """Return the weighted sum of losses of P targets.

        `queries` [Q, D], `candidates` [C, D] with `log_inclusion` float32[C]; target p is row `targets` int32[P] of the
        candidates, asked of row `asked` int32[P] of the queries, every one of which is asked for something, and counts
        `sample_weight` float32[P]. `met` int64[M, 2] pairs queries with candidates, no target of theirs, that they may
        not be answered with. `log_there` float32[Q, C] is the logarithm of the share of a query's targets at whose time
        a candidate was there: their mean denominator counts it so much.
        """
        corrected = tf.matmul(queries, candidates, transpose_b=True) - log_inclusion
        column = tf.math.unsorted_segment_max(targets, asked, tf.shape(queries)[0])
        taken_off, own_taken_off = tf.gather(log_inclusion, column), tf.gather(log_inclusion, targets)
        if log_there is not None:
            corrected += log_there
            taken_off -= tf.gather(log_there, column, axis=1, batch_dims=1)
            own_taken_off -= tf.gather_nd(log_there, tf.stack([asked, targets], axis=1))
        corrected += _barred(met, tf.shape(corrected))
        # The fused operation gives log-sum-exp, less the logit of a column; it is twice as fast as reduce_logsumexp.
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=column, logits=corrected)
        total = losses + tf.reduce_sum(queries * tf.gather(candidates, column), axis=1)
        total = tf.gather(total - taken_off, asked)
        own = tf.reduce_sum(tf.gather(queries, asked) * tf.gather(candidates, targets), axis=1)
        excess = tf.exp(own - total) - tf.exp(own - own_taken_off - total)
        return tf.reduce_sum((total + tf.math.log1p(excess) - own) * sample_weight)


class TwoTower(tfrs.models.Model):  # type: ignore[misc]
    """Query and item tower under one loss.

    A batch holds windows of events: `history` int32[B, T] (1 + a row of `items`, 0 padding), `history_kinds`
    int32[B, T], `parts` int32[B, T], `fresh` float32[B, T] (1 where the user first met the item), `seconds`
    int32[B, T], `context` int32[B, T, 3], `user` int32[B], `demographics` int32[B, n_demo]; `items` (the item
    tower's inputs) with `log_inclusion` float32[N] of its rows; `slots` int32[Q] (places of queries among the B x T
    slots); and of each target `asked` int32[P] (a row of `slots`), `target` int32[P] (a row of `items`) and `weight`
    float32[P]. Where items came while users were active, `since` float32[N] is the hour from which an item may be an
    answer and `until`, some float32[Q], are hours of a query's targets: what came later was not left aside, it was not
    there.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes, ordered: bool) -> None:
        super().__init__(name="two_tower")
        self.query_tower = QueryTower(config, sizes, ordered)
        self.item_tower = ItemTower(config, sizes, ordered)
        self.softmax = CandidateSoftmax(name="candidate_softmax")

    def compute_loss(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tf.Tensor":
        """Return the mean loss per unit of weight; 0 for a batch of windows without a target."""
        return self.loss_of(*self.encode(inputs, training=training), inputs)

    def encode(self, inputs: Mapping[str, "tf.Tensor"], training: bool = False) -> "tuple[tf.Tensor, tf.Tensor]":
        """Return the queries float32[Q, D] and the candidates float32[N, D] of a batch."""
        vectors = self.item_tower(inputs["items"], training=training)
        candidates, past = tf.split(vectors, 2, axis=1)
        return self.query_tower.windows(with_history_vectors(inputs, past), training=training), candidates

    def loss_of(self, queries: "tf.Tensor", candidates: "tf.Tensor", inputs: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        """Return the mean loss per unit of weight of a batch that is encoded."""
        weight = inputs["weight"]
        targets = inputs["asked"], inputs["target"], inputs["log_inclusion"], weight
        log_there = _log_there(inputs) if "since" in inputs else None
        loss = self.softmax(queries, candidates, *targets, self._met(inputs), log_there)
        return tf.math.divide_no_nan(loss, tf.reduce_sum(weight))

    def _met(self, inputs: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
        """Return int64[M, 2] of queries and the candidates among what they see: nobody is shown an item again."""
        n_slots = tf.shape(inputs["history"])[1]
        window = inputs["slots"] // n_slots
        sight = tf.reshape(self.query_tower.sight(inputs["parts"]), [-1, n_slots])
        sees = tf.gather(sight, inputs["slots"]) * tf.gather(inputs["fresh"], window)
        pairs = tf.where(sees > 0)
        places = tf.gather_nd(tf.gather(inputs["history"], window), pairs) - 1
        return tf.stack([pairs[:, 0], tf.cast(places, tf.int64)], axis=1)


def _barred(met: "tf.Tensor", shape: "tf.Tensor") -> "tf.Tensor":
    """Return float32[Q, C]: 0, and of the pairs `met` int64[M, 2] what makes a logit one of no answer.

    Four times as fast as adding to single entries, which no device does in parallel.
    """
    return tf.raw_ops.SparseToDense(
        sparse_indices=met,
        output_shape=tf.cast(shape, tf.int64),
        sparse_values=tf.constant(_BARRED),
        default_value=0.0,
        validate_indices=False,
    )


def _log_there(inputs: Mapping[str, "tf.Tensor"]) -> "tf.Tensor":
    """Return float32[Q, N]: the logarithm of the share of a query's hours at which each candidate was there."""
    present = [inputs["since"] <= hours[:, tf.newaxis] for hours in inputs["until"].values()]
    if len(present) == 1:
        return tf.where(present[0], 0.0, math.log(_TINY))
    there = [tf.cast(each, tf.float32) for each in present]
    return tf.math.log(tf.maximum(tf.add_n(there) / len(there), _TINY))


def with_history_vectors(inputs: Mapping[str, "tf.Tensor"], vectors: "tf.Tensor") -> dict[str, "tf.Tensor"]:
    """Return the query tower's inputs: `history` [B, L] (1 + row of vectors [N, D]) becomes vectors [B, L, D]."""
    padded = tf.concat([tf.zeros_like(vectors[:1]), vectors], axis=0)
    return {**inputs, "history_vectors": tf.gather(padded, inputs["history"])}
