from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from recsys.service.openapi import describe
from tests.service.conftest import FakeEngine, client_of

schema = schemathesis.openapi.from_dict(describe())
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def service() -> Iterator[TestClient]:
    with client_of(FakeEngine()) as client:
        yield client


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_what_the_description_allows_never_breaks_the_service(case: schemathesis.Case, service: TestClient) -> None:
    kwargs = case.as_transport_kwargs(base_url="http://localhost")
    kwargs.pop("cookies", None)
    response = service.request(**kwargs)
    case.validate_response(response, checks=CHECKS)
