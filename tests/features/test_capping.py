"""Nobody adds more than a cap to what is learned and counted; what is beyond it is known all the same."""

import numpy as np

from recsys.features import Dataset, heldout
from recsys.serving import DatasetPeople
from recsys.serving.requests import asker_of
from tests.features.conftest import Build, Row

DAY = 24.0
PEOPLE: list[Row] = [(f"p{user}", f"i{day}", "view", DAY * day) for user in range(9) for day in range(10)]


def crawl(n: int, day: float, prefix: str = "i") -> list[Row]:
    return [("crawler", f"{prefix}{place}", "view", DAY * day + 1 + place / 3600) for place in range(n)]


def own(dataset: Dataset, user: str) -> slice:
    row = dataset.users.ids.tolist().index(user)
    return slice(int(dataset.events.offsets[row]), int(dataset.events.offsets[row + 1]))


def positives(dataset: Dataset, user: str, split: int) -> list[str]:
    part = own(dataset, user)
    chosen = dataset.events.positive[part] & (dataset.events.split[part] == split)
    return dataset.items.ids[dataset.events.item[part][chosen]].tolist()


def test_the_most_recent_events_of_each_split_count(build: Build) -> None:
    rows = PEOPLE + crawl(5, 1) + crawl(5, 8.5) + crawl(5, 9.5)
    dataset = build(rows, cutoffs=(DAY * 8, DAY * 9), max_user_events=3)
    for split in (0, 1, 2):
        assert positives(dataset, "crawler", split) == ["i2", "i3", "i4"]
        assert len(positives(dataset, "p0", split)) == (3, 1, 1)[split]


def test_what_does_not_count_is_known_but_neither_counted_nor_in_a_vocabulary(build: Build) -> None:
    dataset = build(PEOPLE + crawl(30, 1, "x"), cutoffs=(DAY * 8, DAY * 9), max_user_events=8)
    counts = dict(zip(dataset.items.ids.tolist(), dataset.items.train_count.tolist(), strict=True))
    assert [counts[f"x{place}"] for place in (0, 21, 22, 29)] == [0, 0, 1, 1]
    assert "x0" not in dataset.spec.item_vocab and "x29" in dataset.spec.item_vocab
    assert len(dataset.events.item[own(dataset, "crawler")]) == 30


def test_what_does_not_count_is_never_recommended_to_its_user(build: Build) -> None:
    dataset = build(PEOPLE + crawl(30, 1, "x"), cutoffs=(DAY * 8, DAY * 9), max_user_events=8)
    crawler = DatasetPeople(dataset).find("crawler")
    asker = asker_of(dataset, crawler, {}, None, None, int(np.max(dataset.events.timestamp)) + 1)
    assert len(asker.seen) == 30 and len(asker.positives) == 8


def test_such_users_and_their_share_are_counted_without_an_id(build: Build) -> None:
    dataset = build(PEOPLE + crawl(30, 1, "x"), cutoffs=(DAY * 8, DAY * 9), max_user_events=8)
    info = dataset.spec.info
    assert {name: info[name] for name in ("max_user_events", "n_capped_users", "capped_share", "n_capped_events")} == {
        "max_user_events": 8,
        "n_capped_users": 1,
        "capped_share": 30 / 120,
        "n_capped_events": 22,
    }
    assert "crawler" not in str(info)


def test_by_default_the_cap_is_five_times_what_almost_everybody_stays_below(build: Build) -> None:
    people: list[Row] = [(f"p{user}", f"i{n}", "view", n / 100) for user in range(5) for n in range(150 + user)]
    rows = people + crawl(2000, 1, "x") + [("p0", "i0", "view", DAY * 9), ("p1", "i0", "view", DAY * 10)]
    dataset = build(rows, cutoffs=(DAY * 8, DAY * 9.5))
    assert dataset.spec.info["max_user_events"] == 5 * 154
    assert len(positives(dataset, "crawler", 0)) == 770


def test_by_default_five_hundred_always_count(build: Build) -> None:
    dataset = build(PEOPLE + crawl(600, 1, "x"), cutoffs=(DAY * 8, DAY * 9))
    assert dataset.spec.info["max_user_events"] == len(positives(dataset, "crawler", 0)) == 500


def test_nobody_at_the_cap_is_capped(build: Build) -> None:
    dataset = build(PEOPLE, cutoffs=(DAY * 8, DAY * 9), max_user_events=8)
    assert dataset.events.positive.all()
    assert (dataset.spec.info["n_capped_users"], dataset.spec.info["capped_share"]) == (0, 0.0)


def test_dislikes_do_not_use_the_cap_up(build: Build) -> None:
    rows: list[Row] = [("crawler", f"x{n}", "dislike" if n % 2 else "like", DAY + n) for n in range(10)]
    dataset = build(PEOPLE + rows, cutoffs=(DAY * 8, DAY * 9), max_user_events=8)
    assert len(positives(dataset, "crawler", 0)) == 5


def test_everybody_is_still_measured(build: Build) -> None:
    rows = PEOPLE + crawl(50, 1, "x") + crawl(50, 9.5, "y")
    dataset = build(rows, cutoffs=(DAY * 8, DAY * 9), max_user_events=8)
    users = heldout(dataset, 2)
    assert len(users.user_rows) == 10
