"""Item texts as vectors: hashed TF-IDF reduced by truncated SVD (latent semantic analysis, Deerwester et al. 1990)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils.extmath import randomized_svd

_N_HASHED = 2**14  # collisions stay rare for vocabularies of tens of thousands of words
_SEED = 17


@dataclass(frozen=True)
class TextModel:
    """Inverse document frequencies float32[2^14] and components float32[2^14, text_dim]."""

    idf: NDArray[np.float32]
    components: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str], dim: int) -> Self:
        """Fit on training texts; dimensions beyond the rank of the texts are zero."""
        counts = _counts(texts)
        n_documents = np.asarray((counts > 0).sum(axis=0)).ravel()
        idf = (np.log((1 + counts.shape[0]) / (1 + n_documents)) + 1).astype(np.float32)  # smoothed, as scikit-learn
        components = np.zeros((_N_HASHED, dim), np.float32)
        rank = min(dim, min(counts.shape) - 1, int((n_documents > 0).sum()) - 1)
        if rank > 0:
            weighted = _unit_rows(counts.multiply(idf).tocsr())
            _, _, transposed = randomized_svd(weighted, rank, random_state=_SEED)
            components[:, :rank] = transposed.T
        return cls(idf, components)

    def transform(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32[n, text_dim] with rows of length 1; an empty or wholly unknown text gives zeros."""
        vectors = np.asarray(_unit_rows(_counts(texts).multiply(self.idf).tocsr()) @ self.components, np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)

    def save(self, folder: Path) -> None:
        """Write `text_idf.npy` and `text_components.npy`."""
        np.save(folder / "text_idf.npy", self.idf, allow_pickle=False)
        np.save(folder / "text_components.npy", self.components, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(np.load(folder / "text_idf.npy"), np.load(folder / "text_components.npy"))


def _counts(texts: Sequence[str]) -> csr_matrix:
    vectorizer = HashingVectorizer(n_features=_N_HASHED, norm=None, alternate_sign=False, dtype=np.float32)
    return csr_matrix(vectorizer.transform(texts))


def _unit_rows(matrix: csr_matrix) -> csr_matrix:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return csr_matrix(matrix.multiply(scale[:, None]))
