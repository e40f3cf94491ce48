"""What people did before a shift: other people's, for what it says of items, and nobody's taste any more."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.config import FeaturesConfig, OnboardingConfig
from recsys.data.stored import Limits
from recsys.features import Dataset, frames_to_dataset, heldout, of_present, persons, without_users
from recsys.pipeline.gc import _withheld
from recsys.pipeline.rows_held import _of_training_set
from recsys.scoring.baselines import consumption, item_counts
from recsys.scoring.taste import TastePrior
from recsys.storage import publish
from tests.features.conftest import Frames

CONFIG = FeaturesConfig(fit_days=3, held_out_days=1, min_item_events=1, min_user_events=1, text_dim=1)


@pytest.fixture
def tables(events: Frames, users: Frames, items: Frames) -> tuple[pl.DataFrame, ...]:
    before = [(f"u{n}", f"i{(n + day) % 4}", "like", 24 * day) for n in range(4) for day in range(4)]
    after = [(f"u{n}", f"j{(n + day) % 4}", "like", 24 * day + 1) for n in range(4) for day in range(4, 8)]
    return (
        events(*before, *after, device="tv"),
        users(*({"user_id": f"u{n}", "gender": "fm"[n % 2]} for n in range(4))),
        items(*({"item_id": f"{name}{n}", "title": f"{name} {n}"} for name in "ij" for n in range(4))),
    )


def built(tables: tuple[pl.DataFrame, ...], **changes: object) -> Dataset:
    return frames_to_dataset(CONFIG.model_copy(update=changes), *tables)


def own(dataset: Dataset, user: str) -> pl.DataFrame:
    row = dataset.users.ids.tolist().index(user)
    part = slice(*dataset.events.offsets[row : row + 2])
    names = dataset.items.ids[np.asarray(dataset.events.item)[part]].tolist()
    return pl.DataFrame({"item": names, "positive": dataset.events.positive[part]})


def test_former_events_are_those_of_somebody_else(tables: tuple[pl.DataFrame, ...]) -> None:
    dataset = built(tables)
    assert dataset.users.ids.tolist() == [*(f"former-u{n}" for n in range(4)), *(f"u{n}" for n in range(4))]
    former, present = own(dataset, "former-u1"), own(dataset, "u1")
    assert former["positive"].all() and set(former["item"]) >= {"i0", "i1", "i2", "i3"}
    kept = present.filter("positive")["item"]
    assert len(kept) == 3 and kept.str.starts_with("j").all()  # the last three days
    assert set(present["item"]) >= set(former["item"])  # met, and so never recommended
    assert (dataset.users.demographics[:4] == dataset.users.demographics[4:]).all()


def test_former_users_ask_for_nothing_and_have_no_id(tables: tuple[pl.DataFrame, ...]) -> None:
    dataset = built(tables)
    for split in (1, 2):
        assert (heldout(dataset, split).user_rows >= 4).all()
    assert all(user.startswith("u") for user in dataset.spec.user_vocab)
    assert (dataset.users.vocab[:4] == 0).all()


def test_items_learn_from_them_and_popularity_does_not(tables: tuple[pl.DataFrame, ...]) -> None:
    dataset, without = built(tables), built(tables, learn_former=False)
    assert without.users.ids.tolist() == [f"u{n}" for n in range(4)]
    old = np.array([name.startswith("i") for name in dataset.items.ids.tolist()])
    assert consumption(dataset, 2)[:, old].sum() > 0 == consumption(without, 2)[:, old].sum()
    assert (item_counts(dataset, 2) == item_counts(without, 2)).all()
    priors = [TastePrior.fit(each, OnboardingConfig()) for each in (dataset, without)]
    assert np.allclose(priors[0].taste.liked, priors[1].taste.liked)
    cuts = [(each.spec.validation_start, each.spec.test_start) for each in (dataset, without)]
    assert cuts[0] == cuts[1]


def test_shares_of_time_are_those_of_the_days_learned_from(tables: tuple[pl.DataFrame, ...]) -> None:
    shares = {"held_out_days": 0, "validation_fraction": 0.3, "test_fraction": 0.3}
    dataset, without = built(tables, **shares), built(tables, **shares, learn_former=False)
    assert dataset.spec.test_start == without.spec.test_start


def test_whoever_is_removed_is_removed_as_they_were(tables: tuple[pl.DataFrame, ...]) -> None:
    fewer = without_users(built(tables), ["u1"])
    assert set(persons(fewer.users.ids.to_series())) == {"u0", "u2", "u3"}
    assert len(fewer.users.ids) == len(fewer.users_frame) == len(fewer.events.offsets) - 1 == 6


def test_people_as_they_are_alone_are_served(tables: tuple[pl.DataFrame, ...]) -> None:
    dataset = built(tables)
    served = of_present(dataset)
    assert served.users.ids.tolist() == [f"u{n}" for n in range(4)]
    for user in served.users.ids.tolist():
        assert own(served, user).equals(own(dataset, user))
    assert of_present(served) is served


def test_collection_finds_nobody_withheld_among_those_who_agreed(
    tables: tuple[pl.DataFrame, ...], tmp_path: Path
) -> None:
    with publish(str(tmp_path / "features" / "one")) as publication:
        built(tables).save(publication.path)
    everybody = frozenset(f"u{n}" for n in range(4))
    for allowed, n_withheld in ((everybody, 0), (everybody - {"u1"}, 1)):
        limits = Limits(allowed, None)
        assert _of_training_set(publication.uri, limits).users == n_withheld
        assert len(_withheld(publication.uri, limits)) == n_withheld
