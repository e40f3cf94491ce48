"""Where data comes from: every source yields the data contract's tables in batches."""

from recsys.config import Config, DemoSource, FilesSource, LogSource, MovieLensSource
from recsys.data.demo import DemoWorld
from recsys.data.privacy import load_key
from recsys.data.sources.draft import draft, name_of
from recsys.data.sources.files import FilesReader
from recsys.data.sources.log import LogReader
from recsys.data.sources.movielens import MovieLensReader
from recsys.data.sources.source import Pseudonymous, Source
from recsys.data.sources.sql import SqlReader
from recsys.eventlog import open_log

__all__ = ["LogReader", "Pseudonymous", "Source", "draft", "name_of", "open_source"]


def open_source(config: Config, *, scans: str = "") -> Source:
    """Open the configured source; raises SourceError when it cannot be read, StorageError when it is an event log.

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
    if isinstance(settings, LogSource):
        key, beside = load_key(config), settings.beside
        other = open_source(config.model_copy(update={"source": beside})) if beside else None
        return LogReader(open_log(config, key.key_id), key, other, config.validation.max_gap_days)
    return SqlReader(settings, config.validation.max_gap_days)
