from pathlib import Path
from typing import Any

DAGS = {"recsys_data", "recsys_training", "recsys_monitoring", "recsys_tuning", "recsys_privacy"}
HEAVY = {
    "tensorflow",
    "tf_keras",
    "mlflow",
    "great_expectations",
    "polars",
    "pandas",
    "numpy",
    "sklearn",
    "annoy",
    "optuna",
}


def test_every_dag_imports_without_error(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == DAGS


def test_a_dags_id_is_its_files_name(parsed: dict[str, Any]) -> None:
    assert {Path(dag["file"]).stem: name for name, dag in parsed["dags"].items()} == {name: name for name in DAGS}


def test_parsing_imports_no_heavy_library(parsed: dict[str, Any]) -> None:
    assert HEAVY.isdisjoint(parsed["modules"])
    assert "recsys.pipeline" not in parsed["modules"]


def test_every_dag_has_a_run_book(parsed: dict[str, Any]) -> None:
    for dag in parsed["dags"].values():
        assert dag["doc"].startswith("### ")
        assert "**By hand.**" in dag["doc"]


def test_the_run_book_of_the_data_says_that_validating_alone_reads_no_source(parsed: dict[str, Any]) -> None:
    doc = " ".join(parsed["dags"]["recsys_data"]["doc"].split())
    assert "clear `ingest` with *Downstream*: `validate` alone does not read the source" in doc


def test_every_param_is_typed_and_described(parsed: dict[str, Any]) -> None:
    for dag in parsed["dags"].values():
        assert dag["params"] and all(dag["params"].values()) and all(dag["described"])


def test_nothing_catches_up_or_runs_twice_at_once(parsed: dict[str, Any]) -> None:
    for dag in parsed["dags"].values():
        assert not dag["catchup"]
        assert dag["max_active_runs"] == 1
        assert dag["start_date"] == "None"  # with one, unpausing would start a run for the tick that has passed


def test_every_task_is_tried_three_times_under_the_policy(parsed: dict[str, Any]) -> None:
    for dag in parsed["dags"].values():
        for task in dag["tasks"].values():
            assert task["retries"] == 2
            assert task["policy"]


def test_training_judges_and_trains_again_side_by_side(parsed: dict[str, Any]) -> None:
    tasks = parsed["dags"]["recsys_training"]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "select": [],
        "build_features": ["select"],
        "fill_users": ["select"],
        "train": ["build_features", "select"],
        "evaluate": ["train"],
        "refit": ["train"],
        "export_index": ["refit"],
        "register": ["evaluate", "export_index", "refit", "train"],
        "promote": ["fill_users", "register"],
    }


def test_tuning_maps_its_trials_between_the_study_and_the_adoption(parsed: dict[str, Any]) -> None:
    tasks = parsed["dags"]["recsys_tuning"]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "select": [],
        "build_features": ["select"],
        "open_study": ["build_features", "select"],
        "plan": ["open_study"],
        "trial": ["open_study", "plan"],
        "adopt_best": ["open_study", "trial"],
    }
    assert {name: task["mapped"] for name, task in tasks.items() if task["mapped"]} == {"trial": True}
    assert tasks["trial"]["at_once"] == 2
    assert tasks["adopt_best"]["trigger_rule"] == "none_failed"  # a study without a trial left skips `trial`
    assert tasks["trial"]["links"] == tasks["adopt_best"]["links"] == ["MLflow run"]


def test_the_deadline_of_erasures_is_checked_whatever_became_of_them(parsed: dict[str, Any]) -> None:
    tasks = parsed["dags"]["recsys_privacy"]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {"erase": [], "check_deadline": ["erase"]}
    assert tasks["check_deadline"]["trigger_rule"] == "all_done"


def test_the_configuration_says_how_many_trials_run_at_once(parsed_with_approval: dict[str, Any]) -> None:
    assert parsed_with_approval["dags"]["recsys_tuning"]["tasks"]["trial"]["at_once"] == 3


def test_assets_chain_the_dags(parsed: dict[str, Any]) -> None:
    outlets = {
        task_id: task["outlets"]
        for dag in parsed["dags"].values()
        for task_id, task in dag["tasks"].items()
        if task["outlets"]
    }
    assert outlets == {
        "validate": ["recsys_snapshot"],
        "promote": ["recsys_champion"],
        "request_retraining": ["recsys_retrain"],
    }


def test_tasks_link_to_mlflow_and_data_docs(parsed: dict[str, Any]) -> None:
    dags = parsed["dags"]
    assert dags["recsys_data"]["tasks"]["validate"]["links"] == ["Data docs"]
    assert dags["recsys_training"]["tasks"]["train"]["links"] == ["MLflow run"]
    assert dags["recsys_training"]["tasks"]["promote"]["links"] == ["Model version"]


def test_a_person_approves_when_the_configuration_says_so(parsed_with_approval: dict[str, Any]) -> None:
    tasks = parsed_with_approval["dags"]["recsys_training"]["tasks"]
    assert tasks["approve"]["upstream"] == ["register"]
    assert tasks["promote"]["upstream"] == ["approve", "fill_users", "register"]
