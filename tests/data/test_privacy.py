from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import Config, PrivacyConfig
from recsys.data.ingest import ingest_partition, ingest_range
from recsys.data.privacy import (
    DEVELOPMENT_KEY,
    PseudonymKey,
    coarsen_users,
    load_key,
    mask_references,
    masked_ids,
    pseudonym_of,
    pseudonymise,
)
from recsys.errors import ConfigError, DataError
from recsys.storage import read_manifest
from tests.data.conftest import DAY, LiteralSource, event, item, moment, user

Build = Callable[..., Config]


def staged(config: Config, source: LiteralSource) -> tuple[dict[str, int], pl.DataFrame]:
    result = ingest_partition(config, source, DAY, moment(1, 0), "2026-01-01")
    return result["counts"], pl.read_parquet(f"{result['staged']}/interactions.parquet")


def test_pseudonym_is_hmac_sha256_cut_to_32_digits() -> None:
    # RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?".
    hashed = pseudonymise(pl.Series("user_id", ["what do ya want for nothing?", None]), PseudonymKey(b"Jefe", "x"))
    assert hashed.to_list() == ["5bdcc146bf60754e6a042426089575c7", None]


def test_repeated_ids_get_the_same_pseudonym_as_single_ones() -> None:
    key = PseudonymKey(b"k" * 16, "x")
    ids = ["zoë", "new\nline", "com,ma", "zoë", "", *["zoë"] * 20]
    hashed = pseudonymise(pl.Series("user_id", ids), key).to_list()
    assert hashed == [pseudonymise(pl.Series("user_id", [text]), key)[0] for text in ids]
    assert len(set(hashed)) == 4


def test_references_and_users_never_share_a_pseudonym() -> None:
    ids, key = pl.Series("id", ["u0"]), PseudonymKey(b"k" * 16, "x")
    assert pseudonymise(ids, key)[0] != mask_references(ids, key)[0]


@pytest.mark.parametrize("text", ["", DEVELOPMENT_KEY.decode(), "fifteen bytes.."])
def test_production_refuses_missing_default_and_short_keys(
    configured: Build, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", text)
    with pytest.raises(ConfigError, match="RECSYS_PSEUDONYM_KEY") as caught:
        load_key(configured(mode="production"))
    assert not text or text not in str(caught.value)


def test_key_comes_from_a_file_and_its_id_does_not_reveal_it(
    configured: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sixteen bytes ok\n")
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    key = load_key(configured(mode="production"))
    assert key.key == b"sixteen bytes ok"
    assert key.key_id == "1be54dbd"  # printf 'key-idsixteen bytes ok' | sha256sum | cut -c1-8
    assert "sixteen" not in repr(key)


def test_local_mode_uses_the_development_key(configured: Build) -> None:
    assert load_key(configured()).key_id == "development"


def test_ages_become_bands_and_locations_lose_detail() -> None:
    ages = [-1, 0, 17, 18, 24, 25, 64, 65, 120, 121, None]
    places = ["DE/Berlin", "DE", "", None, *["FR/Paris/5e"] * 7]
    coarse = coarsen_users(pl.DataFrame({"age": ages, "location": places}), PrivacyConfig())
    expected = [None, "<18", "<18", "18-24", "18-24", "25-34", "55-64", "65+", "65+", None, None]
    assert coarse["age"].to_list() == expected
    assert coarse["location"].to_list() == ["DE", "DE", None, None, *["FR"] * 7]
    finer = coarsen_users(pl.DataFrame({"age": ages, "location": places}), PrivacyConfig(location_parts=2))
    assert finer["location"][4] == "FR/Paris"
    none = coarsen_users(pl.DataFrame({"age": ages, "location": places}), PrivacyConfig(location_parts=0))
    assert none["location"].null_count() == 11


def test_only_events_of_consenting_known_users_pass(configured: Build) -> None:
    users = [user("yes"), user("no", consent=False), user("unsaid", consent=None), user("later", day=1)]
    events = [event(n, name) for n, name in enumerate(["yes", "yes", "no", "unsaid", "later", "ghost", None, ""])]
    counts, rows = staged(configured(), LiteralSource(events, users, [item("i0")]))
    assert len(rows) == counts["kept"] == 2
    assert counts["read"] == 8
    assert counts["withheld_no_consent"] == 2
    assert counts["withheld_unknown_user"] == 2
    assert counts["withheld_no_user"] == 2


def test_unrecorded_consent_can_be_allowed_but_a_refusal_in_any_row_wins(configured: Build) -> None:
    users = [user("unsaid", consent=None), user("twice"), user("twice", consent=False)]
    source = LiteralSource([event(0, "unsaid"), event(1, "twice")], users, [item("i0")])
    counts, _ = staged(configured(privacy={"consent_missing": "allow"}), source)
    assert (counts["kept"], counts["withheld_no_consent"], counts["users_kept"]) == (1, 1, 1)


@pytest.mark.parametrize(("missing", "kept"), [("allow", 1), ("withhold", 0)])
def test_a_source_without_users_passes_only_where_missing_consent_is_allowed(
    configured: Build, missing: str, kept: int
) -> None:
    counts, rows = staged(configured(privacy={"consent_missing": missing}), LiteralSource([event(0)], [], [item("i0")]))
    assert counts["kept"] == len(rows) == kept


def test_do_not_sell_matters_for_advertising_only(configured: Build) -> None:
    source = LiteralSource([event(0, "u0"), event(1, "u1")], [user("u0"), user("u1", do_not_sell=True)], [item("i0")])
    assert staged(configured(), source)[0]["kept"] == 2
    counts, _ = staged(configured(privacy={"purpose": "advertising"}), source)
    assert (counts["kept"], counts["withheld_do_not_sell"]) == (1, 1)


def test_retention_counts_back_from_the_end_of_the_run(configured: Build, world: LiteralSource) -> None:
    days = ingest_range(configured(privacy={"retention_days": 1}), world, DAY, moment(3, 0))
    assert [day["partition"] for day in days] == ["2026-01-03"]
    whole = configured(partition="all", privacy={"retention_days": 1})
    counts = ingest_range(whole, world, DAY, moment(3, 0))[0]["counts"]
    assert counts["dropped_retention"] == 80
    assert counts["read"] == 120


def test_no_raw_id_is_left_in_any_staged_file_or_result(configured: Build) -> None:
    names = ["anna@example.org", "zoë\nnew, line", "ΑΒΓ-77777"]
    events = [event(n, name, request_id=f"r/{name}") for n, name in enumerate(names)]
    result = ingest_partition(
        configured(), LiteralSource(events, [user(n) for n in names], [item("i0")]), DAY, moment(1, 0), "2026-01-01"
    )
    manifest = read_manifest(result["staged"])
    assert manifest.info["key_id"] == "development"
    everything = str(result) + manifest.model_dump_json()
    for table in ("interactions", "users", "items"):
        everything += str(pl.read_parquet(f"{result['staged']}/{table}.parquet").to_dicts())
    assert result["counts"]["kept"] == 3
    assert not [name for name in ["anna", "zoë", "ΑΒΓ", "77777"] if name in everything]


def test_a_column_of_the_wrong_type_is_named_without_its_values(configured: Build, world: LiteralSource) -> None:
    class Wrong(LiteralSource):
        def interactions(self, start: datetime, end: datetime):  # type: ignore[no-untyped-def]
            for batch in super().interactions(start, end):
                yield batch.with_columns(value=pl.lit("anna@example.org"))

    wrong = Wrong(world.event_rows, world.user_rows, world.item_rows)
    with pytest.raises(DataError, match="value is String, not Float64") as caught:
        staged(configured(), wrong)
    assert "anna" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_column_is_named(configured: Build, world: LiteralSource) -> None:
    class Missing(LiteralSource):
        def interactions(self, start: datetime, end: datetime):  # type: ignore[no-untyped-def]
            for batch in super().interactions(start, end):
                yield batch.drop("item_id")

    with pytest.raises(DataError, match="missing: item_id"):
        staged(configured(), Missing(world.event_rows, world.user_rows, world.item_rows))


@given(st.lists(st.text(min_size=1, max_size=30), max_size=5))
def test_single_ids_are_hidden_as_columns_are(ids: list[str]) -> None:
    key = PseudonymKey(b"k" * 32, "id")
    series = pl.Series(ids, dtype=pl.String)
    assert [pseudonym_of(each, key) for each in ids] == pseudonymise(series, key).to_list()
    assert masked_ids(ids, key) == mask_references(series, key).to_list()
