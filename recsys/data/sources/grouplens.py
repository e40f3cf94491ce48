"""Downloads a MovieLens release, checks it, and unpacks it once."""

import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Final

from recsys.errors import SourceError
from recsys.storage import local_path

_MD5: Final = {
    "100k": ("ml-100k", "0e33842e24a9c977be4e0107933c0723"),
    "1m": ("ml-1m", "c4d9eecfca2ab87c1945afe126590906"),
    "latest-small": ("ml-latest-small", ""),  # GroupLens changes it in place: only the archive's own checksums hold
}
_TIMEOUT_S: Final = 30


def download(release: str, storage: str) -> Path:
    """Return the folder of a release, fetched from GroupLens unless it is there already.

    Raises SourceError, which says what to do, when the network refuses or the checksum is wrong.
    """
    name, md5 = _MD5[release]
    folder = local_path(storage) / "downloads"
    if (folder / name).is_dir():
        return folder / name
    folder.mkdir(parents=True, exist_ok=True)
    url = f"https://files.grouplens.org/datasets/movielens/{name}.zip"
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        archive = Path(aside) / f"{name}.zip"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, archive.open("wb") as stream:
                shutil.copyfileobj(answer, stream)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise SourceError(
                f"cannot download {url}: {error}. Download and unpack it by hand, then pass the folder: "
                f"make demo DATASET=movielens-{release} DATA_DIR=<folder> (or source.path in the TOML file)"
            ) from None
        unpack(archive, md5, Path(aside))
        if not (Path(aside) / name).is_dir():
            raise SourceError(f"{url} holds no folder {name}; download the release by hand and pass source.path")
        if not (folder / name).is_dir():  # unless another run was faster
            (Path(aside) / name).rename(folder / name)
    return folder / name


def unpack(archive: Path, md5: str, target: Path) -> None:
    """Check an archive's MD5 and its members' checksums, then unpack it; raise SourceError when either is wrong."""
    found = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    if md5 and found != md5:
        raise SourceError(f"{archive.name} has the MD5 {found}, not {md5}: the download is damaged; try again")
    try:
        with zipfile.ZipFile(archive) as content:
            if damaged := content.testzip():
                raise SourceError(f"{archive.name} is damaged at {damaged}; try again")
            content.extractall(target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{archive.name} is no zip archive that can be unpacked ({error}); try again") from None
