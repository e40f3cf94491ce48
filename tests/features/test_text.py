"""Texts as vectors: what they weigh, what is near what, and how few texts will do."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from recsys.features import TextModel
from recsys.features.text import _counts


def test_text_idf_is_scikit_learns() -> None:
    texts = ["red apple", "red boat", "green boat sails", ""]
    expected = TfidfTransformer(smooth_idf=True).fit(_counts(texts)).idf_
    assert TextModel.fit(texts, 2).idf == pytest.approx(expected, rel=1e-6)


def test_similar_texts_are_close() -> None:
    texts = ["space war stars", "stars in space", "cooking soup", "soup and bread cooking"]
    vectors = TextModel.fit(texts, 4).transform(texts)  # two topics, and two dimensions that nothing has taught
    assert vectors[0] @ vectors[1] > 0.9
    assert vectors[2] @ vectors[3] > 0.9
    assert abs(vectors[0] @ vectors[2]) < 0.1


@pytest.mark.parametrize(
    ("texts", "lengths"),
    [
        ([], []),
        ([""], [0]),
        (["one"], [1]),
        (["same words", "same words"], [1, 1]),
        (["a", "???"], [0, 0]),  # neither is a word
        (["red wine", "blue sea", ""], [1, 1, 0]),
    ],
)
def test_text_vectors_are_unit_or_zero_however_few_texts_there_are(texts: list[str], lengths: list[int]) -> None:
    vectors = TextModel.fit(texts, 8).transform([*texts, "", "unheard of"])
    assert vectors.shape == (len(texts) + 2, 8)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([*lengths, 0, 0], abs=1e-5)


def test_taught_texts_predict_who_meets_an_item() -> None:
    generator = np.random.default_rng(0)
    words = {"war": (1.0, 0.0), "love": (0.0, 1.0)}
    kinds = generator.choice(list(words), 60)
    fillers = [f"{kind} filler{number % 7} filler{number % 3}" for number, kind in enumerate(kinds)]
    targets = np.array([words[kind] for kind in kinds], np.float32)
    model = TextModel.fit(fillers, 4, targets)
    war, love, unheard = model.transform(["war filler1", "love filler2", "nothing known"])[:, :2]
    assert war[0] - love[0] > 0.5
    assert love[1] - war[1] > 0.5
    assert not unheard.any()


def test_a_word_of_one_text_teaches_nothing() -> None:
    texts = [f"unique{number} shared{number % 2}" for number in range(40)]
    model = TextModel.fit(texts, 4, np.array([[1, 0], [0, 1]] * 20, np.float32))
    shared, unique = model.transform(["shared0", "unique7"])[:, :2]
    assert shared.any()
    assert not unique.any()


def test_texts_that_predict_nothing_are_taught_nothing() -> None:
    texts = [f"unique{number} shared{number % 2}" for number in range(40)]
    noise = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    assert not TextModel.fit(texts, 4, noise).tastes.any()


@given(texts=st.lists(st.text(max_size=60), max_size=6))
@example(texts=["The red Red fox_1 a bc", "", "żółw ΣΊΣΥΦΟΣ 東京 ﬁn"])
def test_words_are_counted_as_scikit_learn_counts_them(texts: list[str]) -> None:
    vectorizer = HashingVectorizer(n_features=2**15, norm=None, alternate_sign=False, dtype=np.float32)
    expected = vectorizer.transform([*texts, "one"]).toarray()[:-1]
    found = _counts(texts)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), np.where(expected > 0, 1 + np.log(np.maximum(expected, 1)), 0))
