import logging

import pytest
from starlette.testclient import TestClient

from recsys.errors import ConfigError, DataError, NotFoundError, RefusedError, StorageError
from tests.service.conftest import EVENT, FakeEngine

SECRET = "user-4711"


def _post(client: TestClient, body: bytes, path: str = "/v1/recommendations", **headers: str):
    return client.post(path, content=body, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("k", ["0", "-1", "1000000", '"10"', "true", "1.5", "10.0", "null", "1e1", "9" * 20])
def test_k_is_a_whole_number_from_1_to_200(client: TestClient, k: str) -> None:
    response = _post(client, f'{{"k": {k}}}'.encode())
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/k"


@pytest.mark.parametrize("k", [1, 200])
def test_both_ends_of_k_are_lists(client: TestClient, k: int) -> None:
    assert len(_post(client, f'{{"k": {k}}}'.encode()).json()["items"]) == k


@pytest.mark.parametrize(
    "k", ["0", "-1", "1000000", "%2210%22", "true", "1.0", "", "+1", "%C2%B2", "1_0", "%201", "9" * 5_000]
)
def test_k_of_a_query_is_as_strict(client: TestClient, k: str) -> None:
    response = client.get(f"/v1/items/i1/similar?k={k}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "k"


@pytest.mark.parametrize("query", ["k=1&k=2", "j=1", "k=1&j=1", "k=%FF", "&".join(f"a{n}=1" for n in range(65))])
def test_a_query_holds_known_parameters_once(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/items/i1/similar?{query}").status_code == 422


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"nope", "not-json"),
        (b'{"k": NaN}', "not-json"),
        (b'{"k": Infinity}', "not-json"),
        (b'{"filters": {"max_age_days": -Infinity}}', "not-json"),
        (b'{"k": 1, "k": 2}', "duplicate-key"),
        (b'{"context": {"device": "a", "device": "a"}}', "duplicate-key"),
        (b'{"answers": {"i1": "like", "i\\u0031": "dislike"}}', "duplicate-key"),
        (b'{"user_id": "\\ud800"}', "not-json"),
        (b'{"user_id": "\xff"}', "not-json"),
        ('{"user_id": "é"}'.encode("utf-16"), "not-json"),
        (b"\xef\xbb\xbf{}", "not-json"),
        (b'{"k": ' + b"9" * 500_000 + b"}", "not-json"),
        (b"[" * 21 + b"]" * 21, "too-deep"),
        (b"[" * 1_000_000, "too-deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too-deep"),
        (b'{"a": "]]]]", "b": ' + b"[" * 30 + b'"[["' + b"]" * 30 + b"}", "too-deep"),
    ],
)
def test_what_is_no_strict_json_is_refused(client: TestClient, body: bytes, kind: str) -> None:
    response = _post(client, body)
    assert response.status_code == 400
    assert response.json()["type"] == f"urn:recsys:problem:{kind}"
    assert response.headers["content-type"] == "application/problem+json"


def test_brackets_in_texts_are_no_depth(client: TestClient) -> None:
    assert _post(client, b'{"k": "' + b"[" * 50 + b'"}').status_code == 422
    assert _post(client, b'{"user_id": "\\"' + b"[" * 50 + b'"}').status_code == 200


@pytest.mark.parametrize("body", ["[]", "null", "3", '"text"', "[{}]"])
def test_a_body_is_an_object(client: TestClient, body: str) -> None:
    assert _post(client, body.encode()).status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"usr_id": "u"}', ""),
        ('{"context": {"divice": "tv"}}', "/context"),
        ('{"context": {"time": "2026-01-31T20:00:00"}}', "/context/time"),
        ('{"context": {"time": 1767225600}}', "/context/time"),
        ('{"context": {"time": "1767225600"}}', "/context/time"),
        ('{"context": {"time": "0001-01-01T00:00:00+14:00"}}', "/context/time"),
        ('{"context": {"time": "9999-12-31T23:59:59-14:00"}}', "/context/time"),
        ('{"filters": {"max_age_days": 0}}', "/filters/max_age_days"),
        ('{"filters": {"max_age_days": 1e999}}', "/filters/max_age_days"),
        ('{"filters": {"categories": "a"}}', "/filters/categories"),
        ('{"exclude_ids": ["a", 1]}', "/exclude_ids/1"),
        ('{"rerank": {"diversity": 0.5}}', "/rerank"),
        ('{"rerank": {"n_candidates": 1001}}', "/rerank/n_candidates"),
        ('{"answers": {"i1": "love"}}', "/answers"),
        ('{"explain": 1}', "/explain"),
        ('{"user_id": ""}', "/user_id"),
        ('{"user_id": "a\\u0000"}', "/user_id"),
        ('{"user_id": "a\\u009f"}', "/user_id"),
        ('{"user_id": "a\\n"}', "/user_id"),
    ],
)
def test_a_wrong_value_is_pointed_at(client: TestClient, body: str, pointer: str) -> None:
    response = _post(client, body.encode())
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


def test_an_unknown_field_tells_the_known_ones(client: TestClient) -> None:
    told = _post(client, b'{"usr_id": "u"}').json()["errors"][0]["detail"]
    assert "user_id" in told
    assert "usr_id" not in told


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", "1e400"), ("position", "-1"), ("position", "2147483648"), ("propensity", "0"), ("propensity", "1.1"),
     ("event_id", "null"), ("timestamp", '"yesterday"')],
)  # fmt: skip
def test_an_event_keeps_to_its_columns(client: TestClient, field: str, value: str) -> None:
    import json

    body = json.dumps(EVENT | {field: "@"}).replace('"@"', value)
    response = _post(client, body.encode(), "/v1/events")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"/{field}"


@pytest.mark.parametrize(
    "id_", ["a/b", "ü", "日本", "👩‍👩‍👧", "a b", "a%2Fb", "a?b#c", "é" * 256, "\u202e", "a\\b", "similar"]
)
def test_any_unicode_is_an_id(client: TestClient, engine: FakeEngine, id_: str) -> None:
    from urllib.parse import quote

    assert client.put(f"/v1/items/{quote(id_, safe='')}", json={}).status_code == 200
    assert client.post("/v1/recommendations", json={"user_id": id_}).status_code == 200
    assert engine.records[0][1] == id_
    assert engine.batches[0][0].user_id == id_


@pytest.mark.parametrize("part", ["%00", "a%0Ab", "%FF", "%C2%85", "a" * 257, "%ED%A0%80"])
def test_an_id_of_a_path_has_no_control_character_and_an_end(client: TestClient, part: str) -> None:
    response = client.put(f"/v1/items/{part}", json={})
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "id"


def test_a_large_body_is_refused_while_it_arrives(client: TestClient, engine: FakeEngine) -> None:
    limit = 1_048_576
    fitting = b'{"user_id": "u"}' + b" " * (limit - 16)
    assert _post(client, fitting).status_code == 200
    assert _post(client, fitting + b" ").status_code == 413

    def chunks():
        yield b'{"user_id": "u"}'
        for _ in range(17):
            yield b" " * 65_536

    unannounced = client.post("/v1/recommendations", content=chunks(), headers={"content-type": "application/json"})
    assert unannounced.status_code == 413
    assert len(engine.batches) == 1


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 30, ""])
def test_a_length_is_a_number_within_the_limit(client: TestClient, length: str) -> None:
    response = _post(client, b"{}", **{"content-length": length})
    assert response.status_code in (400, 413)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1"]
)
def test_a_body_says_that_it_is_json(client: TestClient, media_type: str) -> None:
    assert client.post("/v1/recommendations", content=b"{}", headers={"content-type": media_type}).status_code == 415


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    for path in ("/nope", "/v1/items/", "/v1/items/a/b", "/v1/recommendations/", "/docs/oauth2-redirect", "/redoc"):
        response = client.get(path)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
    response = client.get("/v1/events")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert client.patch("/v1/items/i1").headers["allow"] == "DELETE, PUT"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError(f"unknown {SECRET}"), 422),
        (RefusedError("an answered item is unknown"), 422),
        (NotFoundError(f"no {SECRET}"), 404),
        (StorageError(f"cannot write {SECRET}"), 503),
        (ConfigError(SECRET), 500),
        (KeyError(SECRET), 500),
        (TimeoutError(SECRET), 500),
    ],
)
def test_errors_of_the_engine_have_a_status_and_no_text(
    client: TestClient, engine: FakeEngine, caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    engine.error = error
    for response in (
        client.post("/v1/recommendations", json={"user_id": SECRET}),
        client.get(f"/v1/items/{SECRET}/similar"),
        client.post("/v1/events", json=EVENT | {"user_id": SECRET}),
        client.put(f"/v1/items/{SECRET}", json={}),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert SECRET not in response.text
        if status == 503:
            assert response.headers["retry-after"] == "1"
    told = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert SECRET not in told
    if isinstance(error, RefusedError):
        assert response.json()["detail"] == str(error)
    if status == 500:
        assert type(error).__name__ in told


def test_no_error_repeats_an_id_of_its_request(client: TestClient) -> None:
    responses = [
        client.post("/v1/recommendations", json={"answers": {SECRET: "love"}}),
        client.post("/v1/recommendations", json={SECRET: 1, "user_id": 3}),
        client.post("/v1/recommendations", json={"user_id": SECRET, "demographics": {SECRET: 1}}),
        client.post("/v1/recommendations", json={"user_id": SECRET + "\0"}),
        client.put(f"/v1/items/{SECRET}%00", json={}),
        client.get(f"/v1/users/{SECRET}"),
        client.get(f"/{SECRET}"),
        client.get(f"/v1/onboarding?{SECRET}="),
    ]
    assert all(response.status_code >= 400 for response in responses)
    assert not [response.text for response in responses if SECRET in response.text]


def test_a_log_line_has_template_status_time_and_request_id(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "recsys.service")
    response = client.put(f"/v1/items/{SECRET}", json={})
    client.get(f"/v1/{SECRET}")
    lines = [record.getMessage() for record in caplog.records if record.name == "recsys.service"]
    assert lines[0].startswith("PUT /v1/items/{id} 200 ")
    assert lines[0].endswith(f" ms {response.headers['x-request-id']}")
    assert lines[1].startswith("GET unmatched 404 ")
    assert SECRET not in "".join(lines)


def test_a_batch_of_repeated_faults_is_told_in_part(client: TestClient) -> None:
    response = client.post("/v1/events", json={"events": [{}] * 1_000})
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 20
