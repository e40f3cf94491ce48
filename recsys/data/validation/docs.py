"""Data docs at an address that stays: one site per range of partitions, and an index of the sites."""

import html
import shutil
import tempfile
from pathlib import Path

import fsspec

from recsys.config import Config
from recsys.data.validation.checker import Checker
from recsys.errors import StorageError
from recsys.storage import is_local, join, list_names, local_path, locked, write_text


def docs_address(config: Config, name: str) -> str:
    """Return the address of a run's first page."""
    return join(config.storage, "data_docs", name, "index.html")


def publish_docs(config: Config, name: str, checker: Checker) -> None:
    """Build a run's site aside, put it in the place of an earlier one, and list it on the index page."""
    base = join(config.storage, "data_docs")
    try:
        with locked(config.storage, "data_docs"), tempfile.TemporaryDirectory(dir=_work_folder(base)) as aside:
            site = Path(aside) / "site"
            site.mkdir()
            checker.write_docs(site)
            _put(site, join(base, name), Path(aside) / "old")
            write_text(join(base, "index.html"), _index([n for n in list_names(base) if _is_site(n)]))
    except OSError as error:
        raise StorageError(
            f"cannot write {base}: {error.strerror or error}; free space or fix its permissions, then run again"
        ) from error


def _work_folder(base: str) -> Path | None:
    if not is_local(base):
        return None
    folder = local_path(base)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _put(site: Path, target: str, old: Path) -> None:
    if not is_local(target):
        filesystem, path = fsspec.core.url_to_fs(target)
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)
        filesystem.put(str(site), path, recursive=True)
        return
    place = local_path(target)
    if place.exists():
        place.rename(old)
    site.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _is_site(name: str) -> bool:
    return name == "all" or name[:1].isdigit()


def _index(names: list[str]) -> str:
    links = "\n".join(f'<li><a href="{html.escape(n)}/index.html">{html.escape(n)}</a></li>' for n in reversed(names))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Data docs</title>\n'
        "<h1>Data docs</h1>\n<p>One site per validated range of partitions, newest first.</p>\n"
        f"<ul>\n{links}\n</ul></html>\n"
    )
