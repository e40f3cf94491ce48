"""What a partition may not do to those before it: rows by hand, then days of the demo world that are spoilt."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.config import Config
from recsys.data import validate_partitions
from recsys.data.ingest import ingest_range
from recsys.data.sources import open_source
from recsys.data.validation.continuity import Continuity, continuity_columns, continuity_rules
from recsys.data.validation.earlier import Earlier, GoodRows
from recsys.data.validation.event_profile import (
    copied_share,
    copied_within,
    day_keys,
    hour_divergence,
    hour_shift,
    profile,
    top_item_rise,
)
from recsys.data.validation.known_rows import changed_share, emptied_share, fallen_share, known_rows, presence
from recsys.data.validation.staged import Staged
from recsys.errors import ValidationFailedError
from recsys.schema import CATEGORIES, ITEM_ID, ITEMS, TABLES, TIMESTAMP, USER_ID
from recsys.storage import current, join, publish, read_manifest
from tests.data.conftest import DAY, LiteralSource, event, frame, item, moment, user

Spoil = Callable[[dict[str, pl.DataFrame]], dict[str, pl.DataFrame]]
EVENING = np.array([1, 0, 0, 0, 0, 1, 5, 20, 25, 15, 12, 12, 15, 14, 12, 12, 15, 20, 30, 45, 60, 50, 25, 8.0])


def day_of(n: int, day: int = 0, step_s: int = 61, **more: Any) -> pl.LazyFrame:
    rows = {
        USER_ID: [f"u{k % 30}" for k in range(n)],
        ITEM_ID: [f"i{k % 7}" for k in range(n)],
        "event": ["view"] * n,
        TIMESTAMP: [DAY + timedelta(days=day, seconds=step_s * k) for k in range(n)],
    }
    return pl.DataFrame(rows | more).lazy()


def test_a_copied_day_shares_its_users_items_kinds_and_times_with_the_day_before() -> None:
    before = day_keys(day_of(200))
    assert copied_share(day_keys(day_of(200, day=1)), before) == 1.0
    assert copied_share(day_keys(day_of(200, day=1, step_s=67)), before) < 0.02  # type: ignore[operator]
    half = pl.concat([day_of(100, day=1), day_of(300, day=1, step_s=67).tail(100)])
    assert copied_share(day_keys(half), before) == pytest.approx(0.5, abs=0.02)
    assert copied_share(day_keys(day_of(200, day=1, event=["like"] * 200)), before) == 0.0


def test_few_events_and_rounded_times_are_no_copies() -> None:
    assert day_keys(day_of(99)) is None
    assert day_keys(day_of(100)) is not None
    hourly = [DAY + timedelta(hours=k % 24) for k in range(400)]
    assert day_keys(day_of(400, timestamp=hourly)) is None
    assert copied_share(None, day_keys(day_of(200))) is None


def test_a_day_copied_inside_one_partition_is_found_among_days_that_are_not() -> None:
    days = [day_of(200, 0), day_of(200, 1, 67), day_of(200, 2, 67), day_of(200, 3, 71)]
    assert copied_within(pl.concat(days)) == 1.0
    assert copied_within(pl.concat(days[::-1][:2] + days[:1])) < 0.02  # type: ignore[operator]
    assert copied_within(day_of(200)) is None


@pytest.mark.parametrize("hours", [-8, -3, 2, 5, 8, 12])
def test_a_shifted_day_tells_its_hours(hours: int) -> None:
    noisy = np.random.default_rng(7).poisson(EVENING).astype(float)
    assert hour_shift(np.roll(noisy, hours), [EVENING] * 3) == hours


def test_a_shift_that_pushes_events_out_of_the_day_is_found() -> None:
    cut = np.roll(EVENING, -8)
    cut[16:] = 0
    assert hour_shift(cut, [EVENING] * 3) == -8


def test_noise_outages_flat_days_and_a_weekday_like_the_last_are_no_shift() -> None:
    random = np.random.default_rng(7)
    days = [random.poisson(EVENING / 3).astype(float) for _ in range(200)]
    assert {hour_shift(day, days[n : n + 7]) for n, day in enumerate(days[7:])} == {0}
    flat = [random.poisson(np.full(24, 6.0)).astype(float) for _ in range(200)]
    assert {hour_shift(day, flat[n : n + 7]) for n, day in enumerate(flat[7:])} == {0}
    outage = EVENING.copy()
    outage[19:] = 0
    assert hour_shift(outage, [EVENING] * 3) == 0
    unlike = np.full(24, 17.0)  # no shift explains it
    assert hour_divergence(unlike, [EVENING]) > 0.1  # type: ignore[operator]
    assert hour_shift(unlike, [EVENING]) == 0
    sunday = np.roll(EVENING, 3)
    assert hour_shift(sunday, [EVENING] * 6) == 3
    assert hour_shift(sunday, [*[EVENING] * 6, sunday]) == 0


def test_hours_of_few_users_or_without_a_day_before_are_not_compared() -> None:
    few = EVENING * 99 / EVENING.sum()
    assert hour_shift(few, [EVENING]) is None
    assert hour_shift(EVENING, [few]) is None
    assert hour_divergence(EVENING, []) is None
    assert hour_shift(np.where(np.arange(24) < 11, 20.0, 0), [EVENING]) is None


def test_the_leading_item_counts_positive_events_only() -> None:
    events = day_of(140)
    assert profile(events).top_item == pytest.approx(1 / 7)
    assert profile(events.head(99)).top_item is None
    shown = pl.concat([events, day_of(500, item_id=["i0"] * 500, event=["impression"] * 500)])
    assert profile(shown).top_item == pytest.approx(1 / 7)
    assert profile(day_of(140, item_id=["i0"] * 140)).top_item == 1.0


def test_a_leading_item_is_compared_once_it_is_notable() -> None:
    usual, hit = profile(day_of(140)), profile(day_of(140, item_id=["i0"] * 140))
    assert top_item_rise(hit, [usual, usual], 0.2) == pytest.approx(7)
    assert top_item_rise(usual, [usual], 0.2) is None
    assert top_item_rise(hit, [], 0.2) is None


def items_at(tmp_path: Path, name: str, titles: list[str | None], first: int = 0, **more: Any) -> GoodRows:
    rows = [item(f"i{first + n}", title=title) | {k: v[n] for k, v in more.items()} for n, title in enumerate(titles)]
    (tmp_path / name).mkdir()
    frame(rows, ITEMS).write_parquet(tmp_path / name / "items.parquet")
    return GoodRows(name, tmp_path / name)


def test_values_gone_are_counted_among_rows_that_had_one(tmp_path: Path) -> None:
    before = items_at(tmp_path, "1", [f"t{n}" for n in range(25)] + [None] * 5)
    now = items_at(tmp_path, "2", [""] * 10 + [" ", None] + [f"t{n}" for n in range(12, 25)] + ["new"] * 5)
    known = known_rows(now, [before], "items", ["title"])
    assert emptied_share(known, "title") == 12 / 25
    assert emptied_share(known.head(19), "title") is None
    assert emptied_share(known_rows(now, [], "items", ["title"]), "title") is None


def test_the_nearest_row_before_counts_and_rows_further_back_add_to_it(tmp_path: Path) -> None:
    far = items_at(tmp_path, "1", [f"old{n}" for n in range(30)])
    near = items_at(tmp_path, "2", [f"t{n}" for n in range(10)])
    now = items_at(tmp_path, "3", [f"t{n}" for n in range(30)])
    known = known_rows(now, [near, far], "items", ["title"])
    assert len(known) == 30
    assert known.filter(pl.col("title") == pl.col("title_before")).height == 10


def test_permuted_values_change_as_much_as_chance_would_have_it(tmp_path: Path) -> None:
    values = [["news"], ["sport", "news"]] * 50
    titles = [f"t{n}" for n in range(100)]
    order = np.random.default_rng(7).permutation(100)
    before = items_at(tmp_path, "1", titles, categories=values, language=["en"] * 100)
    now = items_at(
        tmp_path, "2", [*titles[1:], "t0"], categories=[values[n] for n in order], language=["de"] * 3 + ["en"] * 97
    )
    known = known_rows(now, [before], "items", ["title", CATEGORIES, "language"])
    assert changed_share(known, "title") == pytest.approx(1.0, abs=0.02)
    assert changed_share(known, CATEGORIES) == pytest.approx(1.0, abs=0.2)
    assert changed_share(known, "language") is None  # three changes of a constant are no permutation
    same = known_rows(before, [before], "items", ["title"])
    assert changed_share(same, "title") == 0.0
    assert changed_share(same.head(19), "title") is None


def test_a_constant_replaced_by_another_has_changed(tmp_path: Path) -> None:
    before = items_at(tmp_path, "1", ["t"] * 30)
    known = known_rows(items_at(tmp_path, "2", ["u"] * 30), [before], "items", ["title"])
    assert changed_share(known, "title") == 1.0


def test_a_column_that_was_mostly_filled_is_watched_where_all_rows_are_new(tmp_path: Path) -> None:
    def counted(name: str, titles: list[str | None]) -> dict[str, int]:
        return dict(presence(items_at(tmp_path, name, titles, first=100 * int(name)), "items", ["title"]))

    full, empty, sparse = counted("1", ["t"] * 30), counted("2", [None] * 30), counted("3", ["t"] * 14 + [None] * 16)
    assert fallen_share(empty, [full], "title") == 1.0
    assert fallen_share(sparse, [full], "title") == pytest.approx(16 / 30)
    assert fallen_share(empty, [sparse], "title") is None
    assert fallen_share(empty | {"rows": 19}, [full], "title") is None
    assert fallen_share(empty, [], "title") is None


def test_rows_in_quarantine_are_compared_with_nothing(tmp_path: Path) -> None:
    rows = items_at(tmp_path, "1", ["a", "b", "c"])
    kept = GoodRows("1", rows.folder, {"items": np.array([1])}).scan("items").collect()
    assert kept["title"].to_list() == ["a", "c"]


def test_the_partition_of_this_run_counts_before_its_snapshot_and_later_ones_never(tmp_path: Path) -> None:
    config = Config.model_validate({"storage": str(tmp_path)})
    for day in range(1, 10):
        with publish(join(config.storage, "snapshots", f"2026-01-0{day}"), {}) as folder:
            (folder.path / "x").write_text(str(day))
    earlier = Earlier(config)
    earlier.add(GoodRows("2026-01-07", tmp_path))
    found = earlier.before("2026-01-09")
    assert [rows.name[-1] for rows in found] == list("8765432")
    assert [rows.folder == tmp_path for rows in found] == [False, True, *[False] * 5]
    assert (earlier.before("2026-01-01"), earlier.before("all")) == ([], [])
    Path(str(current(join(config.storage, "snapshots", "2026-01-08"))), "x").write_text("damaged")
    assert [rows.name[-1] for rows in Earlier(config).before("2026-01-09", n=1)] == ["7"]


# Days of the demo world: four that are as they should be, and the fifth spoilt in one way after the other.

FIFTH = "2026-01-05"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, list[dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RECSYS_PSEUDONYM_KEY", raising=False)
        source = {"kind": "demo", "scale": 0.8, "n_items": 300, "days": 8}
        config = Config.model_validate({"storage": str(tmp_path_factory.mktemp("demo")), "source": source})
        world = open_source(config)
        return config, ingest_range(config, world, *world.interval())


def test_no_day_of_the_demo_world_is_stopped(demo: tuple[Config, list[dict[str, Any]]]) -> None:
    config, partitions = demo
    staged = [Staged.of(config.storage, one) for one in partitions]
    columns = continuity_columns(staged, config.validation)
    continuity = Continuity(config, columns)
    measured = [continuity.measure(one) for one in staged]
    assert [broken(config, one) for one in measured] == [[]] * 8
    checked = {rule for rule, value in measured[-1].items() if value is not None}
    assert {"copied_day", "hour_shift", "top_item", "items_title_changed", "users_age_emptied"} <= checked
    assert {rule for rule, value in measured[0].items() if value is not None} == {"top_item"}


def broken(config: Config, measured: dict[str, float | None]) -> list[str]:
    columns = continuity_columns([], config.validation)
    rules = {rule.name: rule.arguments for rule in continuity_rules(config.validation, columns)}
    return [
        name
        for name, value in measured.items()
        if value is not None and not rules[name].get("min_value", -np.inf) <= value <= rules[name]["max_value"]  # type: ignore[operator]
    ]


def permuted(column: str, table: str = "items") -> Spoil:
    def spoil(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        order = np.random.default_rng(7).permutation(len(tables[table]))
        return {table: tables[table].with_columns(pl.col(column).gather(order))}

    return spoil


def emptied(column: str, table: str = "items") -> Spoil:
    return lambda tables: {table: tables[table].with_columns(pl.lit(None, tables[table].schema[column]).alias(column))}


def copied(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    later = pl.col(TIMESTAMP) + timedelta(days=1)
    events = tables["interactions before"].with_columns(later, pl.format("new-{}", "event_id").alias("event_id"))
    return {"interactions": events, "users": tables["users before"], "items": tables["items before"]}


def shifted(hours: int) -> Spoil:
    def spoil(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        moved = pl.col(TIMESTAMP) + timedelta(hours=hours)
        inside = pl.col(TIMESTAMP).dt.date() == moment(4).date()
        return {"interactions": tables["interactions"].with_columns(moved).filter(inside)}

    return spoil


def wrapped(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    moved = pl.col(TIMESTAMP) + timedelta(hours=8)
    inside = pl.when(moved.dt.date() == moment(4).date()).then(moved).otherwise(moved - timedelta(days=1))
    return {"interactions": tables["interactions"].with_columns(inside.alias(TIMESTAMP)).sort(TIMESTAMP)}


def one_item(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    item_id = tables["interactions"][ITEM_ID][0]
    return {"interactions": tables["interactions"].with_columns(pl.lit(item_id).alias(ITEM_ID))}


SPOILT: dict[str, Spoil] = {
    "copied_day": copied,
    "hour_shift": wrapped,
    "top_item": one_item,
    **{f"items_{column}_emptied": emptied(column) for column in ("title", "description", "categories", "creator")},
    **{f"items_{column}_changed": permuted(column) for column in ("title", "categories", "creator", "language")},
    **{f"users_{column}_emptied": emptied(column, "users") for column in ("age", "gender")},
    **{f"users_{column}_changed": permuted(column, "users") for column in ("age", "gender", "location")},
}


def spoil_fifth(config: Config, partitions: list[dict[str, Any]], spoil: Spoil) -> dict[str, Any]:
    """Stage a spoilt fifth day beside the one ingestion staged, and return its partition."""
    folders = {"": Path(str(partitions[4]["staged"])), " before": Path(str(partitions[3]["staged"]))}
    tables = {f"{t}{when}": pl.read_parquet(at / f"{t}.parquet") for when, at in folders.items() for t in TABLES}
    with publish(join(config.storage, "staging", FIFTH), read_manifest(str(folders[""])).info) as folder:
        for table in TABLES:
            (tables | spoil(tables))[table].write_parquet(folder.path / f"{table}.parquet")
    return {**partitions[4], "staged": folder.uri}


@pytest.mark.parametrize("rule", SPOILT)
def test_each_way_of_spoiling_a_day_is_measured_past_its_limit(
    demo: tuple[Config, list[dict[str, Any]]], rule: str
) -> None:
    config, partitions = demo
    spoilt = spoil_fifth(config, partitions, SPOILT[rule])
    staged = [Staged.of(config.storage, one) for one in (*partitions[:4], spoilt)]
    continuity = Continuity(config, continuity_columns(staged, config.validation))
    failed = [broken(config, continuity.measure(one)) for one in staged]
    assert failed[:4] == [[]] * 4
    assert rule in failed[4]
    assert set(failed[4]) <= {rule, "top_item_rise"}


def test_a_shift_in_the_source_is_measured_though_it_pushes_events_out_of_the_day(
    demo: tuple[Config, list[dict[str, Any]]],
) -> None:
    config, partitions = demo
    spoilt = spoil_fifth(config, partitions, shifted(-8))
    staged = [Staged.of(config.storage, one) for one in (*partitions[:4], spoilt)]
    continuity = Continuity(config, continuity_columns(staged, config.validation))
    assert continuity.measure(staged[0])["hour_shift"] is None
    measured = [continuity.measure(one)["hour_shift"] for one in staged[1:]]
    assert measured[:3] == [0, 0, 0]
    assert measured[3] in (-7, -8, -9)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("copied_day", "table interactions: expectation copied_day.*observed 1 .*max_value 0.5 .*max_copied_share"),
        ("users_gender_changed", "table users: expectation users_gender_changed.*max_value 0.5 .*max_changed_share"),
    ],
)
def test_a_spoilt_day_stops_the_run_and_the_days_before_it_are_published(
    demo: tuple[Config, list[dict[str, Any]]], tmp_path: Path, rule: str, says: str
) -> None:
    config, partitions = demo
    root = tmp_path / "state"
    shutil.copytree(join(config.storage, "staging"), root / "staging")
    config = config.model_copy(update={"storage": str(root)})
    spoilt = spoil_fifth(config, partitions, SPOILT[rule])
    with pytest.raises(ValidationFailedError, match=f"partition {FIFTH}, {says}"):
        validate_partitions(config, [*partitions[3:4], spoilt])
    assert current(join(config.storage, "snapshots", partitions[3]["partition"]))
    assert current(join(config.storage, "snapshots", FIFTH)) is None
    with pytest.raises(ValidationFailedError, match=says):  # alone: against the snapshot of the day before
        validate_partitions(config, [spoilt])
    loose = {"max_copied_share": 1.0, "volatile_columns": ("gender",)}
    accepted = config.model_copy(update={"validation": config.validation.model_copy(update=loose)})
    assert validate_partitions(accepted, [spoilt])["snapshots"]


def test_a_whole_history_is_compared_with_its_last_snapshot(configured: Callable[..., Config]) -> None:
    config = configured(partition="all")
    events = [event(n, item=f"i{n % 30}", timestamp=moment(2, n / 3)) for n in range(60)]

    def load(title: str) -> None:
        rows = [item(f"i{n}", title=title and f"{title} {n}") for n in range(30)]
        validate_partitions(config, ingest_range(config, LiteralSource(events, [user("u0")], rows), DAY, moment(3, 0)))

    load("Title")
    with pytest.raises(ValidationFailedError, match="items_title_emptied"):
        load("")


@pytest.mark.parametrize(("n_items", "observed"), [(9, None), (10, 1.0)])
def test_a_small_catalogue_may_be_led_by_one_item(
    configured: Callable[..., Config], n_items: int, observed: float | None
) -> None:
    config = configured(partition="all")
    events = [event(n, timestamp=moment(0, n / 6)) for n in range(120)]
    source = LiteralSource(events, [user("u0")], [item(f"i{n}") for n in range(n_items)])
    (staged,) = (Staged.of(config.storage, one) for one in ingest_range(config, source, DAY, moment(1, 0)))
    assert Continuity(config, continuity_columns([staged], config.validation)).measure(staged)["top_item"] == observed


def test_a_day_copied_inside_a_whole_history_is_measured(configured: Callable[..., Config]) -> None:
    config = configured(partition="all")
    events = [
        event(n, f"u{n % 9}", day=day, event_id=f"{day}-{n}", timestamp=moment(day, n / 6))
        for day in (0, 1)
        for n in range(120)
    ]
    source = LiteralSource(events, [user(f"u{n}") for n in range(9)], [item("i0")])
    (staged,) = (Staged.of(config.storage, one) for one in ingest_range(config, source, DAY, moment(2, 0)))
    assert Continuity(config, continuity_columns([staged], config.validation)).measure(staged)["copied_day"] == 1.0
