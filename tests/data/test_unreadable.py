"""Values a source cannot read, and ids that do not meet: from files through the privacy door and validation."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.config import Config
from recsys.data import ingest_range, open_source, read_consented, read_ids, strangers, validate_partitions
from recsys.data.consent import build_register, why_withheld
from recsys.data.identifiers import form_of, usual_form
from recsys.data.outlying import history_days
from recsys.data.privacy import load_key
from recsys.data.snapshots import select_snapshots
from recsys.errors import DataError, SourceError, ValidationFailedError
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS, USERS
from recsys.storage import current, join

Build = Callable[..., Config]
EVENTS = "user_id,item_id,event,timestamp,value"
PEOPLE = "user_id,consent_personalization,age"
ITEM = "item_id,expires_at,duration_s"


@pytest.fixture
def written(tmp_path: Path) -> Build:
    """Write CSV lines of each table; twenty good events of 2026-01-02 and 03 come before those given."""

    def build(
        events: Sequence[str] = (),
        people: list[str] | None = None,
        items: list[str] | None = None,
        n: int = 20,
        **more: Any,
    ) -> Config:
        good = [f"u{k % 4},i{k % 5},view,2026-01-0{2 + k % 2}T{k:02}:00,{k}" for k in range(n)]
        people = [f"u{k},yes,30" for k in range(4)] if people is None else people
        items = [f"i{k},2027-01-01,60" for k in range(5)] if items is None else items
        tables = {"interactions": (EVENTS, [*good, *events]), "users": (PEOPLE, people), "items": (ITEM, items)}
        source: dict[str, Any] = {"kind": "files"}
        for table, (header, lines) in tables.items():
            if lines:
                (tmp_path / f"{table}.csv").write_text("\n".join([header, *lines]))
                source[table] = {"uri": str(tmp_path / f"{table}.csv")}
        settings = {"validation": {"max_bad_fraction": 0.5}, "partition": "all", **more}
        return Config.model_validate({"storage": str(tmp_path / "state"), "source": source, **settings})

    return build


def loop(config: Config) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    source = open_source(config)
    partitions = ingest_range(config, source, *source.interval())
    return partitions, validate_partitions(config, partitions)


def reasons(config: Config, table: str, column: str, partition: str = "all") -> dict[Any, str]:
    folder = current(join(config.storage, "quarantine", partition))
    return dict(pl.read_parquet(f"{folder}/{table}.parquet").select(column, "reason").iter_rows())


def test_rows_whose_values_cannot_be_read_go_to_quarantine_by_column(written: Build) -> None:
    config = written(
        events=["u0,i0,click,soon,1", "u0,i1,click,2026-01-02T10:30,many", "u0,i2,click,2026-01-02T10:30,NULL"],
        people=["u0,yes,old", "u1,yes,30", "u2,yes,n/a", "u3,yes,"],
        items=["i0,2027-01-01,60", "i1,2027-01-01,60", "i2,2027-01-01,60", "i3,,60", "i4,2027-01-01,60", "i5,never,60",
               "i6,2027-01-01,long"],
    )  # fmt: skip
    partitions, result = loop(config)
    assert reasons(config, "interactions", "item_id") == {
        "i0": "interactions.timestamp_readable; interactions.timestamp_present",
        "i1": "interactions.value_readable",
    }
    assert reasons(config, "items", "item_id") == {"i5": "items.expires_at_readable", "i6": "items.duration_s_readable"}
    assert list(reasons(config, "users", "age").values()) == ["users.age_readable"]
    assert result["quarantined"] == 5
    unreadable = {name: n for name, n in partitions[0]["counts"].items() if name.startswith("unreadable")}
    assert unreadable == {f"unreadable_{name}": 1 for name in (
        "interactions.timestamp", "interactions.value", "items.duration_s", "items.expires_at", "users.age")}  # fmt: skip


def test_snapshots_hold_the_contract_alone(written: Build) -> None:
    snapshot = loop(written(events=["u0,i0,click,soon,1"]))[1]["snapshots"][0]["snapshot"]
    for table, schema in (("interactions", INTERACTIONS), ("users", PRIVATE_USERS), ("items", ITEMS)):
        assert pl.read_parquet_schema(f"{snapshot}/{table}.parquet") == schema
    assert not Path(snapshot, "unreadable.parquet").exists()


@pytest.mark.parametrize("expiry", ["never", "0000-00-00"])
def test_events_follow_an_item_whose_expiry_cannot_be_read_lest_they_bring_it_back_for_ever(
    written: Build, expiry: str
) -> None:
    config = written(items=[f"i0,{expiry},60", *(f"i{k},2027-01-01,60" for k in range(1, 5))])
    snapshot = loop(config)[1]["snapshots"][0]["snapshot"]
    assert set(reasons(config, "interactions", "item_id").items()) == {("i0", "interactions.item_known")}
    assert "i0" not in pl.read_parquet(f"{snapshot}/interactions.parquet")["item_id"].to_list()


def test_pieces_and_positions_of_unreadable_rows_belong_together(written: Build) -> None:
    events = ["u0,i0,click,soon,1", "u0,i1,click,2026-01-02T10:30,many"]
    config = written(events, validation={"max_bad_fraction": 0.5, "batch_rows": 3})
    loop(config)
    assert set(reasons(config, "interactions", "item_id")) == {"i0", "i1"}


@pytest.mark.parametrize("missing", ["withhold", "allow"])
def test_consent_in_unknown_words_never_counts_and_is_counted(written: Build, missing: str) -> None:
    people = ["u0,maybe,30", "u1,Y,30", "u2,on,30", "u3,,30"]
    config = written(people=people, privacy={"consent_missing": missing})
    counts = loop(config)[0][0]["counts"]
    assert counts["withheld_unreadable_consent"] == 5
    assert counts["kept"] == (15 if missing == "allow" else 10)
    assert counts["users_kept"] == (3 if missing == "allow" else 2)


def test_an_unreadable_objection_to_selling_counts_as_one(configured: Build) -> None:
    users = pl.DataFrame({"user_id": ["u"], "consent_personalization": [True], "_unreadable": ["do_not_sell"]})
    register = pl.DataFrame(schema=USERS).join(users, on="user_id", how="right").select(*USERS, "_unreadable")
    register = register.with_columns(consent_personalization=pl.lit(True))
    config = configured()
    for purpose, status in (("personalization", "kept"), ("advertising", "withheld_unreadable_consent")):
        privacy = config.privacy.model_copy(update={"purpose": purpose, "consent_missing": "allow"})
        assert build_register(register, privacy, load_key(config))["_status"].to_list() == [status]


@pytest.mark.parametrize("partition", ["all", "day"])
def test_an_event_of_2099_is_set_aside_and_moves_neither_interval_nor_window(written: Build, partition: str) -> None:
    config = written(events=["u0,i0,click,2099-05-05,7", "u0,i0,click,1970-01-01,8"], partition=partition)
    config = config.model_copy(update={"features": config.features.model_copy(update={"window_days": 1})})
    loop(config)
    name = "all" if partition == "all" else "2026-01-02"
    for reason in reasons(config, "interactions", "value", name).values():
        assert reason == "interactions.timestamp_plausible; interactions.timestamp_inside_interval"
    assert len(reasons(config, "interactions", "value", name)) == 2
    dataset = select_snapshots(config)
    assert '"since": "2026-01-03' in Path(dataset.uri, "dataset.json").read_text()


def test_too_many_far_events_stop_the_run_with_their_times_and_what_to_set(written: Build) -> None:
    config = written(events=[f"u0,i{n},click,2099-05-05,7" for n in range(2)], validation={"max_bad_fraction": 0.01})
    with pytest.raises(
        ValidationFailedError, match=r"timestamp_plausible.* 2 of 22 .*max_gap_days; found times from 2099"
    ):
        loop(config)


def test_history_is_what_no_long_gap_parts_from_its_middle() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC).date()
    assert history_days({day: 9, day.replace(year=2099): 1}) == (day, day)
    assert history_days({day: 8, day.replace(year=2099): 1}) == (
        day,
        day.replace(year=2099),
    )  # nine events tell nothing
    assert history_days({day: 9, day.replace(year=2027): 1}) == (day, day.replace(year=2027))
    assert history_days({day: 9, day.replace(year=2027, day=3): 1}) == (day, day)
    assert history_days({day.replace(year=1970): 1, day: 9}) == (day, day)
    assert history_days({day: 9, day.replace(year=2099): 1}, 0) == (day, day.replace(year=2099))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"people": []},
            r"no users table says who agreed; map source.users .* or set privacy.consent_missing = \"allow\"",
        ),
        (
            {"people": ["u0,,3", "u1,NULL,3"]},
            r"records consent of nobody; map .*consent_missing = \"allow\" if every user",
        ),
        ({"people": ["user_17,yes,3"]}, r"the form there is 'a9', in users 'aaaa_99'"),
        (
            {"people": [f"u{n},perhaps,3" for n in range(4)]},
            "answers must be yes, y, true, t, on, 1 or their opposites",
        ),
        ({"people": ["u0,perhaps,3", "u9,yes,3"]}, "answers must be yes, y, true, t, on, 1 or their opposites"),
        ({"people": [f"u{n},no,3" for n in range(4)]}, "check the users' consent columns"),
    ],
)
def test_why_no_event_may_pass_is_told_in_one_sentence_by_loop_and_backtest(
    written: Build, tables: dict[str, Any], words: str
) -> None:
    config = written(**tables)
    for attempt in (loop, read_consented):
        with pytest.raises(DataError, match=words) as caught:
            attempt(config)
        assert "u0" not in str(caught.value)
        assert "user_17" not in str(caught.value)


def test_a_run_without_users_table_uses_all_events_where_consent_is_known_otherwise(written: Build) -> None:
    assert loop(written(people=[], privacy={"consent_missing": "allow"}))[1]["rows"]["interactions"] == 20


def test_items_of_another_spelling_are_shown(written: Build) -> None:
    config = written(items=["item-7,,60"], validation={"max_bad_fraction": 0.1})
    with pytest.raises(
        ValidationFailedError, match=r"no item_id of interactions is in items: 'i0' there, 'item-7' here"
    ):
        loop(config)
    known = pl.Series("item_id", ["item-7"])
    assert strangers(pl.Series("item_id", ["i0", "item-7"]), known) == ""
    assert strangers(pl.Series("item_id", [], dtype=pl.String), known) == ""


def test_forms_show_neither_letters_nor_digits() -> None:
    assert form_of("Zoë_42@x.org") == "'aaa_99@a.aaa'"
    assert form_of("電" * 50) == f"'{'a' * 40}'..."
    assert usual_form(pl.Series(["u1", None, "u1", "12", "34"])) == "'99'"
    assert why_withheld({}, {}).startswith("no users table")


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"events": ["u0,i0,click,soon,1"]}, "1 of 21 values of interactions.timestamp cannot be read"),
        ({"events": ["u0,i0,click,2026-01-02,many"]}, "1 of 21 values of interactions.value cannot be read"),
        ({"people": ["u0,maybe,3", "u1,yes,3"]}, "1 of 2 values of users.consent_personalization cannot be read"),
        ({"items": ["i0,never,60", "i1,,60"]}, None),
        ({"items": ["i0,never,60", "i1,2027-01-01,60"]}, "1 of 2 values of items.expires_at cannot be read"),
        (
            {"events": ["u0,i0,click,2099-05-05,7"]},
            "1 of 21 events have a timestamp more than 366 days from all others",
        ),
    ],
)
def test_a_backtest_refuses_what_the_loop_sets_aside(written: Build, tables: dict[str, Any], words: str | None) -> None:
    with pytest.raises(DataError, match=words or "no value can be read as Datetime"):
        read_consented(written(**tables))


def test_a_backtest_sees_the_contract_alone(written: Build) -> None:
    interactions, users, items = read_consented(written())
    assert (interactions.columns, users.columns, items.columns) == ([*INTERACTIONS], [*USERS], [*ITEMS])


def test_held_out_ids_are_read_as_the_sources_read_them(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("item_id\n500.0\n007\n500\n1.10\n")
    pl.DataFrame({"item_id": [500.0, 7.0]}).write_parquet(tmp_path / "ids.parquet")
    pl.DataFrame({"item_id": [2.0**53]}).write_parquet(tmp_path / "lossy.parquet")
    assert read_ids(str(tmp_path / "ids.csv")) == ["500", "007", "1.10"]
    assert read_ids(str(tmp_path / "ids.parquet")) == ["500", "7"]
    with pytest.raises(SourceError, match="1 ids in 'item_id' are unreadable"):
        read_ids(str(tmp_path / "lossy.parquet"))
