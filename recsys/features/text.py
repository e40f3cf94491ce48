"""Item texts as vectors: hashed TF-IDF reduced to what tells tastes apart and to what texts are about.

Half of the dimensions are taught: the ridge regression, on words, of vectors that say who met an item. So a text nobody
has met yet is placed where its words put it (Gantner et al. 2010, attribute-to-feature mappings). The other half is
truncated SVD (latent semantic analysis, Deerwester et al. 1990), which needs no events.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import mmh3
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from recsys.features.ridge import ridge_regression, rows_to_regress

_WORD = re.compile(r"(?u)\b\w\w+\b")
_N_HASHED = 2**15  # collisions stay rare for vocabularies of ten thousand words
_FEWEST_TEXTS = 2  # a word of one text says nothing of others
_SEED = 17
_N_ITERATIONS = 5  # power iterations, as many as TruncatedSVD does by default
_SHORTEST = 1e-6  # a projection below this length is rounding noise: its direction means nothing
_NEGLIGIBLE = 1e-5  # share of the largest singular value below which a float32 component is rounding noise

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TextModel:
    """Inverse document frequencies float32[2^15], `tastes` float32[2^15, t] and `topics` float32[2^15, s]."""

    idf: Floats
    tastes: Floats
    topics: Floats

    @classmethod
    def fit(cls, texts: Sequence[str], dim: int, targets: Floats | None = None) -> Self:
        """Fit `dim` dimensions on training texts.

        The first half of them, rounded down, are taught by `targets` [n_texts, dim // 2], rows of zeros where nothing
        is known of a text; without targets they are zero. Dimensions beyond the rank of the texts are zero, so one text
        or none will do.
        """
        counts = _counts(texts)
        n_documents = np.bincount(counts.indices, minlength=_N_HASHED)
        idf = (np.log((1 + counts.shape[0]) / (1 + n_documents)) + 1).astype(np.float32)  # smoothed, as scikit-learn
        weighted = _unit_rows(counts @ diags_array(idf))
        return cls(idf, _tastes(weighted, targets, dim // 2), _topics(weighted, dim - dim // 2))

    def transform(self, texts: Sequence[str]) -> Floats:
        """Return float32[n, text_dim]: tastes of any length, then topics of length 1; zeros for an unknown text."""
        weighted = self.weighted(texts)
        tastes, topics = (np.asarray(weighted @ part, np.float32) for part in (self.tastes, self.topics))
        lengths = np.linalg.norm(topics, axis=1, keepdims=True)
        unit = np.divide(topics, lengths, out=np.zeros_like(topics), where=lengths > _SHORTEST)
        return np.hstack([tastes, unit])

    def weighted(self, texts: Sequence[str]) -> csr_array:
        """Return float32[n, 2^15]: TF-IDF of hashed words, rows of length 1 or, without a word, 0."""
        return _unit_rows(_counts(texts) @ diags_array(self.idf))

    def save(self, folder: Path) -> None:
        """Write `text_idf.npy`, `text_tastes.npy` and `text_topics.npy`."""
        for name in ("idf", "tastes", "topics"):
            np.save(folder / f"text_{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(*(np.load(folder / f"text_{name}.npy") for name in ("idf", "tastes", "topics")))


def _tastes(weighted: csr_array, targets: Floats | None, dim: int) -> Floats:
    if targets is None or not dim:
        return np.zeros((_N_HASHED, dim), np.float32)
    rows = rows_to_regress(np.linalg.norm(targets, axis=1))
    shared = np.bincount(weighted.indices, minlength=_N_HASHED) >= _FEWEST_TEXTS
    slopes, _ = ridge_regression(csr_array(weighted[rows] @ diags_array(shared.astype(np.float32))), targets[rows])
    return slopes


def _topics(weighted: csr_array, dim: int) -> Floats:
    from sklearn.utils.extmath import randomized_svd

    components = np.zeros((_N_HASHED, dim), np.float32)
    present = np.flatnonzero(np.bincount(weighted.indices[weighted.data != 0], minlength=_N_HASHED))
    rank = min(dim, weighted.shape[0], len(present))
    if rank > 0:
        _, sizes, transposed = randomized_svd(weighted[:, present], rank, n_iter=_N_ITERATIONS, random_state=_SEED)
        components[present, :rank] = np.where(sizes > sizes[0] * _NEGLIGIBLE, transposed.T, 0)
    return components


def _counts(texts: Sequence[str]) -> csr_array:
    """Return float32[n, 2^15]: 1 + log of how often each word stands in each text, by the hash of the word.

    Words are runs of two or more letters, digits or underscores in lower case, as scikit-learn's HashingVectorizer has
    them; new items are encoded by the same code while serving, which does without it.
    """
    places: dict[str, int] = {}
    columns, ends = array("q"), [0]
    for text in texts:
        for word in _WORD.findall(text.lower()):
            place = places.get(word)
            if place is None:
                place = places[word] = abs(mmh3.hash(word)) % _N_HASHED
            columns.append(place)
        ends.append(len(columns))
    counts = csr_array((np.ones(len(columns), np.float32), np.array(columns), ends), shape=(len(ends) - 1, _N_HASHED))
    counts.sum_duplicates()
    counts.data = 1 + np.log(counts.data)  # a word's tenth mention says little more than its first
    return counts


def _unit_rows(matrix: csr_array) -> csr_array:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return csr_array(diags_array(scale) @ matrix)
