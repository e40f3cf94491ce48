"""Item texts as vectors: hashed TF-IDF reduced by truncated SVD (latent semantic analysis, Deerwester et al. 1990)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils.extmath import randomized_svd

_N_HASHED = 2**14  # collisions stay rare for vocabularies of tens of thousands of words
_SEED = 17
_N_ITERATIONS = 5  # power iterations, as many as TruncatedSVD does by default
_SHORTEST = 1e-6  # a projection below this length is rounding noise: its direction means nothing
_NEGLIGIBLE = 1e-5  # share of the largest singular value below which a float32 component is rounding noise


@dataclass(frozen=True)
class TextModel:
    """Inverse document frequencies float32[2^14] and components float32[2^14, text_dim]."""

    idf: NDArray[np.float32]
    components: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str], dim: int) -> Self:
        """Fit on training texts; dimensions beyond the rank of the texts are zero, so one text or none will do."""
        counts = _counts(texts)
        n_documents = np.bincount(counts.indices, minlength=_N_HASHED)
        idf = (np.log((1 + counts.shape[0]) / (1 + n_documents)) + 1).astype(np.float32)  # smoothed, as scikit-learn
        components = np.zeros((_N_HASHED, dim), np.float32)
        present = np.flatnonzero(n_documents)
        rank = min(dim, counts.shape[0], len(present))
        if rank > 0:
            weighted = _unit_rows(counts @ diags_array(idf))[:, present]
            _, sizes, transposed = randomized_svd(weighted, rank, n_iter=_N_ITERATIONS, random_state=_SEED)
            components[present, :rank] = np.where(sizes > sizes[0] * _NEGLIGIBLE, transposed.T, 0)
        return cls(idf, components)

    def transform(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32[n, text_dim] with rows of length 1; an empty or wholly unknown text gives zeros."""
        vectors = np.asarray(_unit_rows(_counts(texts) @ diags_array(self.idf)) @ self.components, np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > _SHORTEST)
        return unit

    def save(self, folder: Path) -> None:
        """Write `text_idf.npy` and `text_components.npy`."""
        np.save(folder / "text_idf.npy", self.idf, allow_pickle=False)
        np.save(folder / "text_components.npy", self.components, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(np.load(folder / "text_idf.npy"), np.load(folder / "text_components.npy"))


def _counts(texts: Sequence[str]) -> csr_array:
    vectorizer = HashingVectorizer(n_features=_N_HASHED, norm=None, alternate_sign=False, dtype=np.float32)
    return csr_array(vectorizer.transform(texts if len(texts) else [""])[: len(texts)])


def _unit_rows(matrix: csr_array) -> csr_array:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return csr_array(diags_array(scale) @ matrix)
