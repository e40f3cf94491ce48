import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from recsys.config import RerankConfig
from recsys.serving.reranking import dpp, mmr, rerank, similarity_vectors
from tests.serving.conftest import Place

CHOICES = [
    RerankConfig(method="mmr", diversity=0.4),
    RerankConfig(method="dpp", diversity=0.4),
    RerankConfig(popularity_penalty=0.5),
    RerankConfig(method="dpp", diversity=0.3, popularity_penalty=0.5),
]
Candidates = tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def candidates(seed: int, n: int, dim: int = 4) -> Candidates:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(n, dim))
    return (
        generator.permutation(10 * n)[:n].astype(np.int32),
        np.round(generator.normal(size=n), 1),  # ties among scores
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        np.log1p(generator.integers(0, 50, n)),
    )


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 12))
def test_strength_zero_is_the_order_of_scores(seed: int, n: int, k: int) -> None:
    rows, scores, vectors, popularity = candidates(seed, n)
    for method in ("none", "mmr", "dpp"):
        places = rerank(RerankConfig(method=method), rows, scores, vectors, popularity, k)
        assert places.tolist() == np.lexsort((rows, -scores))[:k].tolist()


@pytest.mark.parametrize("config", CHOICES, ids=str)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 30), k=st.integers(1, 40))
def test_a_list_holds_each_candidate_at_most_once(config: RerankConfig, seed: int, n: int, k: int) -> None:
    places = rerank(config, *candidates(seed, n), k)
    assert len(places) == min(k, n) == len(set(places.tolist()))
    assert set(places.tolist()) <= set(range(n))


@pytest.mark.parametrize("config", CHOICES, ids=str)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 30))
def test_the_order_of_candidates_does_not_matter(config: RerankConfig, seed: int, n: int) -> None:
    rows, scores, vectors, popularity = candidates(seed, n)
    shuffled = np.random.default_rng(seed + 1).permutation(n)
    here = rows[rerank(config, rows, scores, vectors, popularity, 8)]
    order = rerank(config, rows[shuffled], scores[shuffled], vectors[shuffled], popularity[shuffled], 8)
    assert rows[shuffled][order].tolist() == here.tolist()


def test_dpp_agrees_with_the_determinant_computed_outright() -> None:
    _, relevance, vectors, _ = candidates(3, 9, dim=6)
    diversity = 0.6
    quality = np.exp((1 - diversity) / (2 * diversity) * relevance)
    kernel = quality[:, None] * (vectors @ vectors.T) * quality
    chosen: list[int] = []
    for _ in range(5):
        left = [place for place in range(9) if place not in chosen]
        volumes = [np.linalg.det(kernel[np.ix_([*chosen, place], [*chosen, place])]) for place in left]
        chosen.append(left[int(np.argmax(volumes))])
    assert dpp(relevance, vectors, diversity, 5) == chosen


def test_dpp_fills_up_by_relevance_when_the_vectors_span_no_more() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert dpp(np.array([0.9, 0.5, 0.1, 0.7]), vectors, 0.5, 4) == [0, 2, 3, 1]


def test_mmr_agrees_with_its_definition() -> None:
    _, relevance, vectors, _ = candidates(5, 12)
    chosen: list[int] = [int(np.argmax(0.7 * relevance))]
    while len(chosen) < 6:
        left = [place for place in range(12) if place not in chosen]
        gains = [0.7 * relevance[p] - 0.3 * max(float(vectors[p] @ vectors[c]) for c in chosen) for p in left]
        chosen.append(left[int(np.argmax(gains))])
    assert mmr(relevance, vectors, 0.3, 6) == chosen


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_more_diversity_makes_lists_more_diverse(method: str) -> None:
    def similarity(diversity: float) -> float:
        total = 0.0
        for seed in range(40):
            rows, scores, vectors, popularity = candidates(seed, 40)
            own = vectors[
                rerank(RerankConfig(method=method, diversity=diversity), rows, scores, vectors, popularity, 8)
            ]
            total += float((own @ own.T)[np.triu_indices(8, 1)].mean())
        return total

    assert similarity(0.0) > similarity(0.3) > similarity(0.8)


def test_the_penalty_lowers_popularity() -> None:
    rows, scores, vectors, popularity = candidates(1, 40)
    means = [
        popularity[rerank(RerankConfig(popularity_penalty=p), rows, scores, vectors, popularity, 8)].mean()
        for p in (0.0, 0.5, 2.0)
    ]
    assert means[0] > means[1] > means[2]


def test_similarity_is_the_mean_of_content_and_embedding_cosine() -> None:
    generator = np.random.default_rng(0)
    content, embeddings = generator.normal(size=(5, 3)), generator.normal(size=(5, 7))

    def cosine(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit @ unit.T

    ours = similarity_vectors(content, embeddings)
    np.testing.assert_allclose(ours @ ours.T, (cosine(content) + cosine(embeddings)) / 2, atol=1e-5)


def test_lengths_that_differ_are_refused() -> None:
    rows, scores, vectors, popularity = candidates(1, 5)
    with pytest.raises(ValueError, match="got 5 rows, 4 scores"):
        rerank(RerankConfig(), rows, scores[:4], vectors, popularity, 3)


def test_diversity_without_a_method_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs rerank.method mmr or dpp"):
        RerankConfig(diversity=0.2)


@pytest.mark.parametrize("config", CHOICES, ids=str)
def test_served_lists_follow_the_configuration(place: Place, config: RerankConfig) -> None:
    plain = place.open()
    other = place.open(settings=config)
    user = place.users[0]
    full = {each.item_id: each.score for each in plain.recommend(user, 100)}
    listed = other.recommend(user, 6)
    assert [each.rank for each in listed] == [1, 2, 3, 4, 5, 6]
    assert all(each.score == pytest.approx(full[each.item_id], abs=1e-5) for each in listed)
    assert [each.item_id for each in listed] == [each.item_id for each in other.recommend(user, 6)]
    assert any(
        [a.item_id for a in other.recommend(one, 6)] != [a.item_id for a in plain.recommend(one, 6)]
        for one in place.users
    )


def test_served_lists_are_untouched_by_default(place: Place) -> None:
    plain = place.open()
    off = place.open(settings=RerankConfig())
    assert plain.recommend(place.users[1], 10) == off.recommend(place.users[1], 10)
