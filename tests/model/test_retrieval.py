import math

import pytest

from recsys.model._tensorflow import tf
from recsys.model.retrieval import FullSoftmax, in_batch_softmax


def test_sampling_correction_subtracts_the_log_of_the_probability() -> None:
    # Logits: query 0 scores (1, 0), query 1 scores (0, 1). With q = (0.5, 0.25), -log q adds log 2 and log 4:
    # row 0: (1 + log 2, log 4), row 1: (log 2, 1 + log 4). Loss = sum of log(1 + exp(other - own)).
    loss = in_batch_softmax(1.0)(
        tf.eye(2),
        tf.eye(2),
        sample_weight=tf.ones(2),
        candidate_sampling_probability=tf.constant([0.5, 0.25]),
        candidate_ids=tf.constant([7, 8]),
    )
    own, rare = 1 + math.log(2), 1 + math.log(4)
    by_hand = math.log(1 + math.exp(math.log(4) - own)) + math.log(1 + math.exp(math.log(2) - rare))
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


def test_accidental_hits_are_no_negatives() -> None:
    same = tf.ones([2, 2])
    arguments = {"sample_weight": tf.ones(2), "candidate_sampling_probability": tf.constant([0.5, 0.5])}
    assert float(in_batch_softmax(1.0)(same, same, candidate_ids=tf.constant([3, 3]), **arguments)) == pytest.approx(0)
    assert float(in_batch_softmax(1.0)(same, same, candidate_ids=tf.constant([3, 4]), **arguments)) > 1


def test_full_softmax_divides_by_temperature_and_weighs_examples() -> None:
    queries, items = tf.constant([[1.0], [1.0]]), tf.constant([[1.0], [0.0]])
    loss = FullSoftmax(0.5)(queries, items, tf.constant([0, 1]), tf.constant([1.0, 3.0]))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)) + 3 * math.log(1 + math.exp(2)), rel=1e-5)
