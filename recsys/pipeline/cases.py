"""Open a backtest's data: read the source once, then split it fold by fold."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from recsys.config import Config, FilesSource
from recsys.errors import ConfigError, DataError
from recsys.schema import ITEM_ID, USER_ID

if TYPE_CHECKING:
    import polars as pl

    from recsys.features import Dataset

_SPLITS = {"train": 0, "validated": 1, "test": 2}


def load_case(config: Config, fold: int = 0) -> "Dataset":
    """Return the training set of one fold (from 0) of `config.backtest`, read from its source.

    Splits are 0 train, 1 validation, 2 test. Raises SourceError when the data cannot be read, DataError when a split
    leaves a set of users or items empty or a held-out id does not exist, ConfigError when the fold does not exist.
    """
    names = fold_names(config)
    if not 0 <= fold < len(names):
        raise ConfigError(f"fold must be from 0 to {len(names) - 1}; got {fold}")
    return next(_datasets(config, [fold]))()


def load_folds(config: Config) -> Iterator[tuple[str, "Callable[..., Dataset]"]]:
    """Yield each fold's name and what builds its training set; with `train_validation=True` validation is trained on.

    A source that does not depend on the fold is read once.
    """
    names = fold_names(config)
    yield from zip(names, _datasets(config, range(len(names))), strict=True)


def fold_names(config: Config) -> list[str]:
    """Return the names of the folds: those configured, the numbers of the rolling windows, or the one fold there is."""
    settings = config.backtest
    if settings.protocol == "rolling":
        return [str(fold) for fold in range(settings.n_folds)]
    return list(settings.folds) or ["0"]


def _datasets(config: Config, folds: range | list[int]) -> Iterator["Callable[..., Dataset]"]:
    from recsys.data import read_consented, read_ids, strangers
    from recsys.features import case_dataset

    settings = config.backtest
    tables = None if settings.protocol == "files" else read_consented(config)
    if tables and (unlike := strangers(tables[0][ITEM_ID], tables[2][ITEM_ID])):
        raise DataError(unlike)
    for fold in folds:
        name = fold_names(config)[fold]
        interactions, users, items = tables or _given_tables(config, name)
        address = settings.cold_items.replace("{fold}", name)
        asked = read_ids(address, settings.cold_items_column) if settings.protocol == "item_cold" else []
        yield partial(case_dataset, config, interactions, users, items, fold=fold, fold_name=name, cold_items=asked)


def _given_tables(config: Config, fold: str) -> tuple["pl.DataFrame", "pl.DataFrame", "pl.DataFrame"]:
    import polars as pl

    from recsys.data import read_consented
    from recsys.features import GIVEN

    source = config.source
    if not isinstance(source, FilesSource):
        raise ConfigError(f'protocol "files" needs source.kind = "files"; got {source.kind!r}')
    addresses = {"train": source.interactions.uri} | {
        name: uri for name in _SPLITS if (uri := getattr(config.backtest, name))
    }
    parts = []
    for name, uri in addresses.items():
        mapping = source.interactions.model_copy(update={"uri": uri.replace("{fold}", fold)})
        chosen = source.model_copy(update={"interactions": mapping})
        interactions, users, items = read_consented(config.model_copy(update={"source": chosen}))
        parts.append((interactions.with_columns(pl.lit(_SPLITS[name], pl.Int8).alias(GIVEN)), users, items))
    interactions, users, items = (pl.concat(tables) for tables in zip(*parts, strict=True))
    _refuse_strangers(interactions, items)
    return interactions, users.unique(maintain_order=True), items.unique(ITEM_ID, maintain_order=True)


def _refuse_strangers(interactions: "pl.DataFrame", items: "pl.DataFrame") -> None:
    """Raise DataError where test holds no user of train, or an item that neither train nor the table of items has.

    Without such a table the items of test are what tells which items there are.
    """
    import polars as pl

    from recsys.features import GIVEN

    tested = pl.col(GIVEN) == _SPLITS["test"]
    asked, known = interactions.filter(tested), interactions.filter(~tested)
    if len(asked) and asked.join(known, on=USER_ID, how="semi").is_empty():
        raise DataError("none of the users of backtest.test has an event in train; check their ids, or use protocol "
                        '"user_holdout" for users nobody knows')  # fmt: skip
    missing = asked.join(known, on=ITEM_ID, how="anti").join(items, on=ITEM_ID, how="anti")[ITEM_ID].unique().sort()
    if len(missing) and len(items):
        raise DataError(f"held-out items must be in train or in source.items; {len(missing)} of backtest.test are not, "
                        f"the first is {missing[0]!r}; correct their ids, or add them to source.items")  # fmt: skip
