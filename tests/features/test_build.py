"""The training set as a whole: its arrays, its bytes, and where it is published."""

import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.config import Config, FeaturesConfig
from recsys.errors import StorageError
from recsys.features import Dataset, build_features, frames_to_dataset, heldout, load_dataset
from recsys.features.assemble import with_rows
from recsys.features.events import USED
from recsys.storage import join, local_path, publish, write_json
from tests.features.conftest import CUTS, Build, Frames

Tables = dict[str, pl.DataFrame]  # interactions, users and items, in this order
SMALLEST = [("a", "i1", "view", 24 * day) for day in range(10)]


@pytest.fixture
def tables(events: Frames, users: Frames, items: Frames) -> Tables:
    rows = [(f"u{n % 7}", f"i{n * 5 % 11}", ("view", "click", "like", "impression")[n % 4], n) for n in range(240)]
    catalogue = [{"item_id": f"i{n}", "title": f"title {n % 3}", "categories": [f"c{n % 2}"]} for n in range(12)]
    return {
        "interactions": events(*rows, device="tv"),
        "users": users(*({"user_id": f"u{n}", "gender": "fm"[n % 2]} for n in range(8))),
        "items": items(*catalogue),
    }


@pytest.fixture
def deployment(tables: Tables, tmp_path: Path) -> tuple[Config, str]:
    config = Config(storage=str(tmp_path / "state"))
    with publish(join(config.storage, "snapshots", "2026-01-05")) as snapshot:
        for name, table in tables.items():
            table.write_parquet(snapshot.path / f"{name}.parquet")
    address = "/".join(snapshot.uri.rsplit("/", 3)[1:])
    with publish(join(config.storage, "datasets")) as dataset:
        listed = {"as_of": None, "since": None, "snapshots": [{"snapshot": address, "events": True}]}
        write_json(str(dataset.path / "dataset.json"), listed)
    return config, dataset.uri


def test_every_array_survives_saving_and_loading(tables: Tables, config: FeaturesConfig, tmp_path: Path) -> None:
    dataset = frames_to_dataset(config, *tables.values())
    dataset.save(tmp_path)
    for mmap in (True, False):
        loaded = Dataset.load(tmp_path, mmap)
        assert loaded.spec == dataset.spec
        assert loaded.items_frame.equals(dataset.items_frame)
        assert loaded.users_frame.equals(dataset.users_frame)
        for room in ("items", "users", "events", "text_model"):
            for field in fields(getattr(dataset, room)):
                before, after = (getattr(getattr(one, room), field.name) for one in (dataset, loaded))
                assert np.asarray(before).dtype == np.asarray(after).dtype
                assert before.equals(after) if field.name == "category_names" else np.array_equal(before, after)


def test_ids_with_unicode_commas_quotes_and_newlines_survive(build: Build, tmp_path: Path) -> None:
    ids = ["ключ", "ü", "电影", "a,b", 'line\nbreak"', "🦊"]
    hours = (1, 2, 3, 4, 101, 201)
    build([(name, name, "click", hour) for name, hour in zip(ids, hours, strict=True)], cutoffs=CUTS).save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert loaded.items.ids.tolist() == sorted(ids) == loaded.users.ids.tolist()
    assert loaded.spec.item_vocab == sorted(ids[:4]) == loaded.spec.user_vocab


def test_one_user_and_one_item_suffice(build: Build) -> None:
    dataset = build(SMALLEST)
    assert dataset.items.ids.tolist() == ["i1"]
    assert dataset.users.ids.tolist() == ["a"]
    assert dataset.events.offsets.tolist() == [0, 10]
    assert np.isfinite(dataset.items.numeric).all()
    assert np.isfinite(dataset.items.text).all()
    assert heldout(dataset, 2).user_rows.size == 0  # nobody meets anything new


def test_nothing_is_pickled(tables: Tables, config: FeaturesConfig, tmp_path: Path) -> None:
    frames_to_dataset(config, *tables.values()).save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json", ".parquet"}
    assert all(b"\x80\x04" not in path.read_bytes()[:200] for path in tmp_path.glob("*.npy"))


def test_dtypes_and_shapes_are_as_stated(tables: Tables, config: FeaturesConfig) -> None:
    dataset = frames_to_dataset(config, *tables.values())
    n = len(dataset.items.ids)
    assert n == 12
    assert len(dataset.users.ids) == 8
    assert dataset.items.text.shape == (n, 4)
    assert dataset.items.categories.shape == (n, 2)
    assert dataset.items.numeric.shape == (n, 4)
    dtypes = {name: getattr(dataset.events, name).dtype.name for name in dataset.events.__dataclass_fields__}
    assert dtypes == {
        "item": "int32", "kind": "int8", "weight": "float32", "timestamp": "int64", "device": "int32",
        "positive": "bool", "split": "int8", "offsets": "int64",
    }  # fmt: skip


def test_two_builds_from_shuffled_rows_give_identical_bytes(
    tables: Tables, config: FeaturesConfig, tmp_path: Path
) -> None:
    digests = []
    for place, seed in enumerate((None, 1)):
        rows = [
            table if seed is None else table.sample(fraction=1, shuffle=True, seed=seed) for table in tables.values()
        ]
        (tmp_path / str(place)).mkdir()
        frames_to_dataset(config, *rows).save(tmp_path / str(place))
        files = sorted((tmp_path / str(place)).iterdir())
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert digests[0] == digests[1]


def test_frames_are_not_changed(tables: Tables, config: FeaturesConfig) -> None:
    before = {name: table.clone() for name, table in tables.items()}
    frames_to_dataset(config, *tables.values())
    assert all(table.equals(before[name]) for name, table in tables.items())


def test_building_twice_reuses_what_is_there(deployment: tuple[Config, str], tables: Tables) -> None:
    config, dataset_uri = deployment
    uri = build_features(config, dataset_uri)
    touched = (local_path(uri) / "spec.json").stat().st_mtime_ns
    assert build_features(config, dataset_uri) == uri
    assert (local_path(uri) / "spec.json").stat().st_mtime_ns == touched
    expected = frames_to_dataset(config.features, *tables.values())
    assert load_dataset(uri).events.item.tolist() == expected.events.item.tolist()


def test_other_settings_get_another_address(deployment: tuple[Config, str]) -> None:
    config, dataset_uri = deployment
    other = config.model_copy(update={"features": config.features.model_copy(update={"text_dim": 2})})
    assert build_features(config, dataset_uri) != build_features(other, dataset_uri)


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_training_set_is_built_again(deployment: tuple[Config, str], damage: str) -> None:
    config, dataset_uri = deployment
    uri = build_features(config, dataset_uri)
    victim = local_path(uri) / "event_item.npy"
    good = victim.read_bytes()
    if damage == "change":
        victim.write_bytes(good[:-1] + b"\x07")
    else:
        victim.unlink()
    assert build_features(config, dataset_uri) == uri
    assert victim.read_bytes() == good


@pytest.mark.parametrize("folder", ["gone", "."])
def test_loading_what_is_not_there_says_what_to_run(tmp_path: Path, folder: str) -> None:
    with pytest.raises(StorageError, match="(?s)cannot read the features .*run the features stage again"):
        load_dataset(str(tmp_path / folder))


@pytest.mark.parametrize("name", ["spec.json", "items.parquet", "text_idf.npy", "event_item.npy"])
@pytest.mark.parametrize("n_bytes", [0, 20])
def test_loading_what_was_cut_short_says_what_to_run(build: Build, tmp_path: Path, name: str, n_bytes: int) -> None:
    build(SMALLEST).save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:n_bytes])
    with pytest.raises(StorageError, match="(?s)cannot read the features .*run the features stage again") as caught:
        load_dataset(str(tmp_path))
    assert "input_value" not in str(caught.value)  # it may hold ids


def test_one_title_of_100_000_characters_is_paid_for_once(
    config: FeaturesConfig, events: Frames, users: Frames, items: Frames, tmp_path: Path
) -> None:
    def size(title: str) -> int:
        folder = tmp_path / str(len(title))
        folder.mkdir()
        catalogue = items(*({"item_id": f"i{n:05d}", "title": title if n == 3 else "short"} for n in range(10_000)))
        frames_to_dataset(config, events(*SMALLEST), users({"user_id": "a"}), catalogue).save(folder)
        loaded = Dataset.load(folder).items
        row = loaded.ids.tolist().index("i00003")
        assert loaded.titles[row] == title
        return loaded.ids.nbytes + loaded.titles.nbytes + int(loaded.category_names.estimated_size())

    assert size("x" * 100_000) - size("short") < 300_000


def test_events_are_worked_on_without_their_texts(events: Frames, users: Frames, items: Frames) -> None:
    rows = events(("b", "i2", "like", 0.0), ("a", "i1", "view", 1.0), device="a phone of a rather long name")
    numbered = with_rows(
        rows.select(USED), users({"user_id": "a"}, {"user_id": "b"}), items({"item_id": "i1"}, {"item_id": "i2"})
    )
    texts = [name for name, dtype in numbered.schema.items() if dtype == pl.String]
    assert texts == ["event"]  # weighing leaves it out before
    assert numbered["user_row"].to_list() == [1, 0] == numbered["item_row"].to_list()
    assert numbered["event_id"].to_list() == [1, 2]
    assert numbered["device"].cast(pl.String).to_list() == ["a phone of a rather long name"] * 2


def test_devices_are_numbered_as_their_names_are_sorted(build: Build, events: Frames) -> None:
    devices = ["tv", None, "phone", "tablet", None]
    rows = events(*(("a", f"i{place}", "like", float(place)) for place in range(5)))
    made = build(rows.with_columns(pl.Series("device", devices)), cutoffs=(3.0, 4.0))
    assert made.spec.device_vocab == ["phone", "tv"]
    assert made.events.device.tolist() == [2, 0, 1, 0, 0]


def test_descriptions_of_a_loaded_training_set_stay_on_disk(
    config: FeaturesConfig, events: Frames, users: Frames, items: Frames, tmp_path: Path
) -> None:
    catalogue = items(*({"item_id": f"i{n:03d}", "title": "t" * 2000, "description": "d" * 2000} for n in range(500)))
    made = frames_to_dataset(config, events(*SMALLEST), users({"user_id": "a"}), catalogue)
    made.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert "SCAN" in loaded.items_table.explain() and "DF" in made.items_table.explain()
    assert loaded.items_frame.equals(made.items_frame)
    assert loaded.items.titles.nbytes < 500 * 2100  # texts of 2,000 characters cost about as many bytes
