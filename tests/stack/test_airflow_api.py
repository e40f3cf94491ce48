import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
    slow_answers = 0

    def do_GET(self) -> None:
        if _Airflow.slow_answers:
            _Airflow.slow_answers -= 1
            time.sleep(0.5)
        found = self.path.endswith("/logs/1")
        body = json.dumps(LOG if found else {"detail": "no such run"}).encode()
        self.send_response(200 if found else 404)
        self.end_headers()
        with contextlib.suppress(OSError):  # nobody waits any more
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer((HOST, 0), _Airflow)
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


@pytest.mark.parametrize(("n_slow", "answered"), [(2, True), (9, False)])
def test_a_slow_answer_is_asked_for_again_a_few_times(
    url: str, monkeypatch: pytest.MonkeyPatch, n_slow: int, answered: bool
) -> None:
    monkeypatch.setattr(_Airflow, "slow_answers", n_slow)
    task = {"task_id": "validate", "try_number": 1}
    if answered:
        assert "reading" in AirflowApi(url, timeout_s=0.1).log_tail("recsys_data", "first load", task)
    else:
        with pytest.raises(AirflowError, match="does not answer.*timed out"):
            AirflowApi(url, timeout_s=0.1).log_tail("recsys_data", "first load", task)


def test_a_silent_airflow_is_named() -> None:
    with pytest.raises(AirflowError, match="Airflow does not answer on http"):
        AirflowApi(f"http://{HOST}:{free_port(30_000)}").runs("x")
