import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys.config import ServiceConfig
from recsys.service.operations import OPERATIONS
from tests.service.conftest import EVENT, FakeEngine, client_of

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = {
    "tensorflow",
    "tf_keras",
    "mlflow",
    "great_expectations",
    "matplotlib",
    "sklearn",
    "pandas",
    "optuna",
    "airflow",
}


def test_the_description_names_every_route_and_no_other(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    described = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    assert described == {(each.path, each.method) for each in OPERATIONS if each.described}


def test_every_reference_leads_somewhere(client: TestClient) -> None:
    response = client.get("/openapi.json")
    schemas = response.json()["components"]["schemas"]
    refs = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', response.text))
    assert refs
    assert refs <= schemas.keys()


def test_the_description_says_the_limits_that_hold(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    request = schemas["RecommendationRequest"]
    assert request["additionalProperties"] is False
    assert (request["properties"]["k"]["minimum"], request["properties"]["k"]["maximum"]) == (1, 200)
    assert request["properties"]["exclude_ids"]["maxItems"] == 1_000
    assert schemas["SessionRequest"]["properties"]["events"]["maxItems"] == 500
    assert schemas["EventBatch"]["properties"]["events"]["maxItems"] == 1_000


def test_the_page_loads_nothing(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.findall(r"""(?:src|href)=["'](?!openapi\.json)""", response.text)
    assert "http://" not in response.text.replace("http://json-schema.org", "")
    assert "https://" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    for operation in OPERATIONS:
        assert operation.path in response.text or not operation.described


def test_the_policy_lets_the_pages_own_script_run(client: TestClient) -> None:
    import base64
    import hashlib

    response = client.get("/docs")
    for element in ("script", "style"):
        text = re.findall(rf"<{element}>(.*?)</{element}>", response.text, re.DOTALL)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in response.headers["content-security-policy"]


def _values(text: str) -> dict[str, float]:
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[:1] != "#"}


def test_metrics_count_by_template_and_name_no_id(client: TestClient) -> None:
    client.post("/v1/events", json=EVENT)
    client.post("/v1/events", json=EVENT)
    client.put("/v1/items/secret-item", json={})
    client.put("/v1/items/secret-item", content=b"{")
    client.get("/secret-path")
    client.request("BREW", "/healthz")
    text = client.get("/metrics").text
    values = _values(text)
    assert "secret" not in text
    assert values['recsys_requests_total{method="POST",route="/v1/events",status="200"}'] == 2
    assert values['recsys_requests_total{method="PUT",route="/v1/items/{id}",status="200"}'] == 1
    assert values['recsys_requests_total{method="PUT",route="/v1/items/{id}",status="415"}'] == 1
    assert values['recsys_requests_total{method="GET",route="unmatched",status="404"}'] == 1
    assert values['recsys_requests_total{method="other",route="/healthz",status="405"}'] == 1
    assert values['recsys_events_total{outcome="accepted"}'] == 1
    assert values['recsys_events_total{outcome="repeated"}'] == 1
    assert values['recsys_bundle_swaps_total{outcome="taken"}'] == 2
    assert values['recsys_bundle_swaps_total{outcome="refused"}'] == 1
    assert values['recsys_cache_entries{cache="lists"}'] == 7
    assert values['recsys_request_seconds_count{route="/v1/events"}'] == 2
    assert values["recsys_requests_in_flight"] == 1


def test_two_services_of_one_process_count_apart() -> None:
    with client_of(FakeEngine()) as first, client_of(FakeEngine()) as second:
        first.get("/healthz")
        assert 'route="/healthz"' not in second.get("/metrics").text


@pytest.mark.parametrize("statement", ["import recsys.service", "import recsys.client", "import recsys.service.server"])
def test_the_service_needs_no_heavy_library(statement: str) -> None:
    code = f"import sys\n{statement}\nprint(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert HEAVY.isdisjoint(run.stdout.split())


def test_the_page_of_the_service_names_every_route_and_setting() -> None:
    text = (REPOSITORY / "docs" / "service.md").read_text(encoding="utf-8")
    missing = [name for name in ServiceConfig.model_fields if f"`{name}`" not in text]
    missing += [each.path for each in OPERATIONS if f"`{each.method} {each.path}`" not in text]
    assert not missing


def test_the_description_is_an_openapi_document(client: TestClient) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    ids = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(ids) == len(set(ids))
