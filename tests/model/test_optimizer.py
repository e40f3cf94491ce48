import numpy as np
import pytest

from recsys.model._tensorflow import tf
from recsys.model.optimizer import Optimizer, learning_rate_at


def test_rows_of_a_table_move_as_a_whole_table_would_where_columns_are_alike() -> None:
    start = np.arange(12, dtype=np.float32).reshape(4, 3)
    whole, rows = tf.Variable(start), tf.Variable(start)
    gradient = np.zeros((4, 3), np.float32)
    gradient[[1, 3]] = [[0.2, -0.2, 0.2], [0.1, 0.1, -0.1]]
    slices = tf.IndexedSlices(tf.constant([[0.2, -0.2, 0.1], [0.1, 0.1, -0.1], [0.0, 0.0, 0.1]]), [1, 3, 1], (4, 3))
    for variable, given in ((whole, tf.constant(gradient)), (rows, slices)):
        optimizer = Optimizer([variable], [given], weight_decay=0.0)
        for _ in range(3):
            optimizer.apply([given], tf.constant(0.01))
    assert np.allclose(whole, rows, atol=1e-6)
    assert not np.allclose(rows, start)
    assert (rows.numpy()[[0, 2]] == start[[0, 2]]).all()


def test_the_first_step_has_the_length_of_the_learning_rate() -> None:
    variable = tf.Variable([1.0, 1.0])
    gradients = [tf.constant([0.3, -0.01])]
    Optimizer([variable], gradients, weight_decay=0.0).apply(gradients, tf.constant(0.1))
    assert variable.numpy() == pytest.approx([0.9, 1.1], abs=1e-4)


def test_weight_decay_shrinks_only_the_rows_that_were_used() -> None:
    table = tf.Variable(tf.ones([3, 1]))
    gradients = [tf.IndexedSlices(tf.zeros([1, 1]), [1], (3, 1))]
    Optimizer([table], gradients, weight_decay=0.5).apply(gradients, tf.constant(0.1))
    assert table.numpy().ravel() == pytest.approx([1.0, 0.95, 1.0])


def test_averages_follow_the_weights() -> None:
    variable = tf.Variable([0.0])
    gradients = [tf.constant([-1.0])]
    optimizer = Optimizer([variable], gradients, weight_decay=0.0)
    for _ in range(50):
        optimizer.apply(gradients, tf.constant(0.1))
    assert 0 < float(optimizer.averaged()[0][0]) < float(variable[0])


def test_rows_are_averaged_over_all_steps_though_few_use_them() -> None:
    table = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))
    optimizer = Optimizer([table], [tf.IndexedSlices(tf.zeros([1, 2]), [0], (3, 2))], weight_decay=0.1)
    expected = table.numpy().copy()
    for step, used in enumerate([[0, 1], [1], [1], [0], [1], [1]], 1):
        gradient = tf.IndexedSlices(tf.fill([len(used), 2], 0.3), used, (3, 2))
        optimizer.apply([gradient], tf.constant(0.5))
        decay = step / (step + 3)
        expected = decay * expected + (1 - decay) * table.numpy()
    assert np.allclose(optimizer.averaged()[0], expected, atol=1e-5)
    assert not np.allclose(expected, table)


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate_at(step, 1000, 0.01) for step in range(1000)]
    assert rates[0] == pytest.approx(0.0001)
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) in (99, 100)
    assert rates[-1] == pytest.approx(0.0002)
