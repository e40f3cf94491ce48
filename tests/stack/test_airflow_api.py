import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recsys.stack.airflow_api import AirflowApi, AirflowError
from recsys.stack.ports import HOST, free_port

LOG = {
    "content": [
        {"event": "::group::Log message source details"},
        {"event": "reading"},
        {
            "event": "Task failed with exception",
            "error_detail": [
                {
                    "exc_type": "ValidationFailedError",
                    "exc_value": "interactions: 12 % bad, 5 % allowed",
                    "frames": [
                        {"filename": "/x/site-packages/airflow/sdk/run.py", "lineno": 1, "name": "run"},
                        {"filename": "/x/recsys/pipeline/data.py", "lineno": 30, "name": "validate"},
                    ],
                }
            ],
        },
    ]
}


class _Airflow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.endswith("/logs/1")
        body = json.dumps(LOG if found else {"detail": "no such run"}).encode()
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer((HOST, 0), _Airflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_log_tail_keeps_our_frames_and_the_message(url: str) -> None:
    tail = AirflowApi(url).log_tail("recsys_data", "first load", {"task_id": "validate", "try_number": 1})
    assert tail.splitlines() == [
        "reading",
        "Task failed with exception",
        "  /x/recsys/pipeline/data.py:30 in validate",
        "ValidationFailedError: interactions: 12 % bad, 5 % allowed",
    ]


def test_a_refusal_says_what_was_asked_and_answered(url: str) -> None:
    with pytest.raises(AirflowError, match=r"refused GET /dags/x/dagRuns/y: 404.*no such run"):
        AirflowApi(url).run("x", "y")


def test_a_silent_airflow_is_named() -> None:
    with pytest.raises(AirflowError, match="Airflow does not answer on http"):
        AirflowApi(f"http://{HOST}:{free_port(30_000)}").runs("x")
