import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def _modules_after(statement: str, cwd: Path = REPOSITORY) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=cwd)
    return set(run.stdout.splitlines()[-1].split())


def test_rooms_import_only_the_rooms_above_them() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint, "--no-cache"], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert run.returncode == 0, run.stdout[-3000:]


def test_mlflow_is_the_library_even_from_the_repository() -> None:
    code = "import mlflow; print(mlflow.__file__)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert "site-packages" in run.stdout.splitlines()[-1]


def test_our_mlflow_folder_is_not_a_package() -> None:
    assert not list((REPOSITORY / "mlflow").rglob("*.py"))


@pytest.mark.parametrize("room", ["serving", "evaluation", "monitoring", "registry", "index"])
def test_only_the_model_needs_tensorflow(room: str) -> None:
    assert _modules_after(f"import recsys.{room}").isdisjoint({"tensorflow", "tf_keras", "tensorflow_recommenders"})


def test_the_pipeline_imports_nothing_heavy() -> None:
    heavy = {"tensorflow", "mlflow", "great_expectations", "airflow"}
    assert _modules_after("import recsys.pipeline").isdisjoint(heavy)


def test_the_event_log_imports_no_driver_and_nothing_heavy() -> None:
    heavy = {"tensorflow", "mlflow", "pandas", "pyarrow", "sqlalchemy", "psycopg", "great_expectations"}
    assert _modules_after("import recsys.eventlog").isdisjoint(heavy)
