"""Addresses below a storage root, and what becomes of them when the root moves."""

from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.storage import relative_to_root, resolve


def made(root: Path, *names: str) -> str:
    for name in names:
        (root / name).mkdir(parents=True)
    return str(root)


@pytest.mark.parametrize(
    ("root", "uri"),
    [
        ("/srv/state", "/srv/state/models/k/d"),
        ("/srv/state/", "/srv/state/models/k/d/"),
        ("/srv/state", "file:///srv/state/models/k/d"),
        ("/srv/other/../state", "/srv/state/models/k/d"),
        ("state/data", "state/data/models/k/d"),
        ("s3://bucket/state", "s3://bucket/state/models/k/d"),
        ("/srv/state", "models/k/d"),
    ],
)
def test_an_address_is_named_relative_to_its_root(root: str, uri: str) -> None:
    assert relative_to_root(root, uri) == "models/k/d"
    assert relative_to_root(root, relative_to_root(root, uri)) == "models/k/d"


def test_a_relative_root_names_an_absolute_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_to_root("state", str(tmp_path / "state" / "models")) == "models"


def test_a_root_behind_a_link_is_the_same_root(tmp_path: Path) -> None:
    made(tmp_path / "disk", "models/k")
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    assert relative_to_root(str(tmp_path / "state"), str(tmp_path / "disk" / "models" / "k")) == "models/k"
    assert resolve(str(tmp_path / "state"), str(tmp_path / "disk" / "models" / "k")) == f"{tmp_path}/state/models/k"


@pytest.mark.parametrize("uri", ["/srv/states/models/k", "/etc/passwd", "s3://bucket/models/k"])
def test_an_address_elsewhere_cannot_be_named(uri: str) -> None:
    with pytest.raises(StorageError, match="lies outside the storage root /srv/state"):
        relative_to_root("/srv/state", uri)


@pytest.mark.parametrize(
    "address", ["../secrets/k", "models/../../secrets/k", "/srv/state/../secrets/k", "/old/state/../../secrets/k"]
)
def test_an_address_that_leads_out_of_the_root_is_refused(address: str, tmp_path: Path) -> None:
    made(tmp_path / "secrets", "k")
    root = made(tmp_path / "srv" / "state", "models")
    for asked in (address, address.replace("/srv/state", root)):
        with pytest.raises(StorageError, match="out"):
            resolve(root, asked)


def test_what_was_named_is_found_wherever_the_root_lies_now(tmp_path: Path) -> None:
    assert resolve("state/data", "models/k/d") == "state/data/models/k/d"
    assert resolve("memory://bucket/state/", "models/k/d") == "memory://bucket/state/models/k/d"
    assert resolve(str(tmp_path), "models/k/d") == f"{tmp_path}/models/k/d"


def test_a_relative_address_has_nothing_to_do_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "project" / "models", "k")
    monkeypatch.chdir(tmp_path / "project")
    assert resolve(str(tmp_path), "models/k") == f"{tmp_path}/models/k"
    assert relative_to_root(str(tmp_path), "models/k") == "models/k"


@pytest.mark.parametrize("root", ["/srv/state", "state/data", "memory://bucket/state"])
def test_an_address_below_the_root_stays_what_it_is(root: str) -> None:
    assert resolve(root, f"{root}/models/k/d") == f"{root}/models/k/d"
    assert resolve(root, resolve(root, "models/k/d")) == f"{root}/models/k/d"


@pytest.mark.parametrize("old", ["/srv/state", "file:///srv/state", "s3://bucket/state", "state/data"])
def test_an_address_of_before_a_move_is_found_by_its_end(old: str, tmp_path: Path) -> None:
    root = made(tmp_path / "restored", "models/k/d", "datasets/d")
    assert resolve(root, f"{old}/models/k/d") == f"{root}/models/k/d"
    assert resolve(root, f"{old}/datasets/d") == f"{root}/datasets/d"


def test_a_copy_reads_its_own_files_while_the_original_still_exists(tmp_path: Path) -> None:
    old, copy = made(tmp_path / "old", "models/k/d"), made(tmp_path / "copy", "models/k/d")
    assert resolve(copy, f"{old}/models/k/d") == f"{copy}/models/k/d"


def test_the_longest_end_wins_and_a_single_name_is_not_enough(tmp_path: Path) -> None:
    root = made(tmp_path / "restored", "state/models/k", "models/k", "k")
    assert resolve(root, "/srv/state/models/k") == f"{root}/state/models/k"
    with pytest.raises(StorageError, match=r"nothing below the root ends like it; restore"):
        resolve(root, "/srv/state/other/k")
