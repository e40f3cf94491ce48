"""Great Expectations, kept in one place: suites from rules, positions of bad rows, data docs."""

import logging
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recsys.data.validation.pages import Outcome, make_self_contained
from recsys.data.validation.rules import Rule
from recsys.errors import DataError

os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read on import: nothing about a run leaves the machine
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of its own start in 200 lines

import great_expectations as gx
from great_expectations.core import ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import (
    ExpectColumnValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
    ExpectColumnValuesToBeInSet,
)
from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.expectation import Expectation

if TYPE_CHECKING:
    import pandas as pd

# Counts and positions, never values: the pages built from the results must not repeat what is in the rows.
_COUNTS: Final[dict[str, Any]] = {"result_format": "BASIC", "partial_unexpected_count": 0}  # Any: GX's own format
_POSITIONS: Final[dict[str, Any]] = {
    "result_format": "COMPLETE",
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
}
_EXPECTATIONS: Final[dict[str, Callable[..., Expectation]]] = {
    "not_null": ExpectColumnValuesToNotBeNull,
    "in_set": ExpectColumnValuesToBeInSet,
    "between": ExpectColumnValuesToBeBetween,
}


class Checker:
    """Runs suites in a context of its own, in memory; everything it has seen is in its data docs."""

    def __init__(self) -> None:
        self._context = gx.get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
                progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
                analytics_enabled=False,
            ),
        )
        self._source = self._context.data_sources.add_pandas("recsys")
        self._definitions: dict[str, gx.ValidationDefinition] = {}
        self._outcomes: list[Outcome] = []

    def failures(
        self, suite: str, rules: Sequence[Rule], frame: "pd.DataFrame", run: str, moment: datetime
    ) -> dict[str, np.ndarray]:
        """Return rule name -> sorted positions of the rows that break it, for rules that are broken.

        `run` and `moment` name the result in the data docs; rules of one suite must not change between calls.
        """
        definition = self._definitions.get(suite) or self._define(suite, rules)
        outcome = definition.run(
            batch_parameters={"dataframe": frame},
            result_format=_COUNTS,
            run_id=RunIdentifier(run_name=run, run_time=moment),
        )
        failed = {_rule_name(result) for result in outcome.results if not result.success}
        self._outcomes.append(Outcome(suite, run, len(outcome.results), len(failed)))
        batch = definition.batch_definition.get_batch({"dataframe": frame}) if failed else None
        positions = {}
        for rule in rules:
            if batch is not None and rule.name in failed and not rule.advisory:
                result = batch.validate(_expectation(rule), result_format=_POSITIONS)
                if "unexpected_index_list" not in result.result:
                    raise DataError(f"{suite}: expectation {rule.name} on column {rule.column} could not be evaluated")
                positions[rule.name] = np.sort(np.asarray(result.result["unexpected_index_list"], dtype=np.int64))
        return positions

    def write_docs(self, folder: Path) -> None:
        """Build the data docs of every result so far into `folder`; the pages need nothing from elsewhere."""
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
        site: Any = {  # Any: a literal of a TypedDict that GX does not export
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": backend,
        }
        self._context.add_data_docs_site("recsys", site)
        self._context.build_data_docs(site_names=["recsys"])
        self._context.delete_data_docs_site("recsys")
        make_self_contained(folder, self._outcomes)

    def _define(self, suite: str, rules: Sequence[Rule]) -> gx.ValidationDefinition:
        expectations = [_expectation(rule) for rule in rules]
        added = self._context.suites.add(gx.ExpectationSuite(name=suite, expectations=expectations))
        rows = self._source.add_dataframe_asset(suite).add_batch_definition_whole_dataframe("rows")
        definition = gx.ValidationDefinition(name=suite, data=rows, suite=added)
        self._definitions[suite] = self._context.validation_definitions.add(definition)
        return self._definitions[suite]


def expectation_name(rule: Rule) -> str:
    """Return Great Expectations' own name for a rule, such as `expect_column_values_to_be_in_set(event)`."""
    return f"{_expectation(rule).expectation_type}({rule.column})"


def _rule_name(result: ExpectationValidationResult) -> str:
    meta = result.expectation_config.meta if result.expectation_config else None
    return str((meta or {})["rule"])


def _expectation(rule: Rule) -> Expectation:
    return _EXPECTATIONS[rule.kind](
        column=rule.column,
        description=rule.description,
        meta={"rule": rule.name},
        severity="warning" if rule.advisory else "critical",
        **rule.arguments,
    )
