"""Where data comes from: every source yields the data contract's tables in batches."""

from recsys.config import Config, DemoSource, FilesSource, MovieLensSource
from recsys.data.demo import DemoWorld
from recsys.data.sources.draft import draft, name_of
from recsys.data.sources.files import FilesReader
from recsys.data.sources.movielens import MovieLensReader
from recsys.data.sources.source import Source
from recsys.data.sources.sql import SqlReader

__all__ = ["Source", "draft", "name_of", "open_source"]


def open_source(config: Config, *, scans: str = "") -> Source:
    """Open the configured source; raises SourceError when it cannot be read.

    In the folder `scans`, where one is named, files sources keep which days each of their files holds, so that the next
    run reads only new and changed files to find out.
    """
    settings = config.source
    if isinstance(settings, DemoSource):
        return DemoWorld(settings)
    if isinstance(settings, MovieLensSource):
        return MovieLensReader(settings, config.storage)
    if isinstance(settings, FilesSource):
        return FilesReader(settings, config.validation.max_gap_days, scans)
    return SqlReader(settings, config.validation.max_gap_days)
