import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PARSE = """
import json, sys
sys.path.insert(0, {plugins!r})
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({dags!r})
facts = {{
    "errors": dict(bag.import_errors),
    "modules": sorted(m for m in sys.modules if "." not in m or m.startswith("recsys.")),
    "dags": {{
        dag.dag_id: {{
            "file": dag.fileloc,
            "doc": dag.doc_md or "",
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "start_date": str(dag.start_date),
            "params": {{name: dag.params.get_param(name).schema.get("type") for name in dag.params}},
            "described": [bool(dag.params.get_param(name).description) for name in dag.params],
            "tasks": {{
                task.task_id: {{
                    "upstream": sorted(task.upstream_task_ids),
                    "outlets": [o.name for o in task.outlets],
                    "links": [link.name for link in task.operator_extra_links],
                    "mapped": task.is_mapped,
                    "at_once": task.max_active_tis_per_dagrun,
                    "trigger_rule": task.trigger_rule,
                    "retries": task.retries,
                    "policy": task.retry_policy is not None,
                    "doc": bool(task.doc_md or task.doc),
                }}
                for task in dag.tasks
            }},
        }}
        for dag in bag.dags.values()
    }},
}}
open({out!r}, "w").write(json.dumps(facts))
"""


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


def parse(folder: Path, **environment: str) -> dict[str, Any]:
    out = folder / "facts.json"
    code = PARSE.format(plugins=str(REPOSITORY / "plugins"), dags=str(REPOSITORY / "dags"), out=str(out))
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        **environment,
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=folder, capture_output=True)
    return dict(json.loads(out.read_text()))


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parse(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="session")
def parsed_with_approval(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("airflow-approval")
    config = folder / "config.toml"
    config.write_text("[promotion]\nrequire_approval = true\n[tuning]\nparallel = 3\n")
    return parse(folder, RECSYS_CONFIG=str(config))
