"""The TensorFlow Recommenders retrieval tutorial on a case's split; it runs in the platform's environment.

    python benchmarks/peers/tfrs_tutorial.py v5

Two embeddings of 32, Adagrad with learning rate 0.1, batches of 8,192, 3 epochs, as the tutorial has it; the tutorial's
ranking does not mask what a user has seen, ours does so for every model.
"""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TensorFlow Recommenders needs Keras 2; before TensorFlow is imported

import numpy as np
from run import OUT, Split, lists_of, read

_DIM, _BATCH, _EPOCHS, _LEARNING_RATE, _SEED = 32, 8192, 3, 0.1, 11


def tutorial(split: Split):
    """Train the tutorial's model; returns what scores users."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    tf.keras.utils.set_random_seed(_SEED)
    users = tf.keras.layers.Embedding(len(split.users), _DIM)
    items = tf.keras.layers.Embedding(len(split.items), _DIM)
    task = tfrs.tasks.Retrieval()

    class Tutorial(tfrs.Model):
        def compute_loss(self, pairs, training=False):
            return task(users(pairs["user"]), items(pairs["item"]), compute_metrics=not training)

    model = Tutorial()
    model.user_tower, model.item_tower = users, items
    model.compile(optimizer=tf.keras.optimizers.Adagrad(_LEARNING_RATE))
    pairs = tf.data.Dataset.from_tensor_slices({"user": split.user, "item": split.item})
    model.fit(pairs.shuffle(len(split.user), seed=_SEED).batch(_BATCH), epochs=_EPOCHS, verbose=0)
    user_vectors, item_vectors = users.embeddings.numpy(), items.embeddings.numpy()
    return lambda rows: np.asarray(user_vectors[rows] @ item_vectors.T)


if __name__ == "__main__":
    for case in sys.argv[1:]:
        for path in sorted((OUT / case.lower() / "split").glob("*.parquet")):
            fold = read(path)
            target = OUT / case.lower() / "peers" / "peer_tfrs_tutorial" / path.name
            lists = lists_of(fold, tutorial(fold))
            target.parent.mkdir(parents=True, exist_ok=True)
            lists.write_parquet(target)
            print(f"{case} fold {path.stem} tfrs_tutorial", flush=True)
