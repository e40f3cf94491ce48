"""The OpenAPI description, made of the same declarations that requests are checked by."""

from typing import Any, Final

from pydantic import TypeAdapter

from recsys.service.operations import OPERATIONS, Operation, Parameter
from recsys.service.problems import ProblemDetails

_PROBLEMS: Final = {
    "400": "The request is not JSON, or repeats a key, or is nested too deep",
    "401": "A valid API key is needed",
    "403": "The API key's scope is too small",
    "404": "Nothing is known under this id",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "The body is not application/json",
    "421": "A service without API keys is called by another name than a local one",
    "422": "A value is not valid, or does not fit what the service knows",
    "429": "The API key's rate is used up",
    "500": "The service failed",
    "503": "The service cannot answer now; Retry-After says when to try again",
}
_VERSION: Final = "1.0"
_OF_KEYS: Final = ("401", "403", "421", "429")
_OF_BODIES: Final = ("400", "408", "413", "415", "422", "503")
_OF_PARAMETERS: Final = ("422",)

Json = dict[str, Any]  # Any: a part of the document


def describe() -> Json:
    """Return the OpenAPI 3.1 document of every described operation."""
    operations = [operation for operation in OPERATIONS if operation.described]
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "recsys",
            "version": _VERSION,
            "description": "Recommendations, events, catalogue and users. Every error is a problem detail (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _schemas(operations: list[Operation]) -> tuple[dict[object, Json], dict[str, Json]]:
    """Return a reference for each type that is sent or answered, and what they refer to."""
    requests: set[Any] = {body for operation in operations for body in operation.bodies}
    answers: set[Any] = {operation.answer for operation in operations if operation.answer} | {ProblemDetails}
    adapters: list[tuple[Any, Any, TypeAdapter[Any]]] = [
        *((each, "validation", TypeAdapter(each)) for each in requests),
        *((each, "serialization", TypeAdapter(each)) for each in answers),
    ]
    adapters.sort(key=lambda each: each[0].__name__)
    by_key, whole = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    definitions: dict[str, Json] = whole["$defs"]
    return {key: schema for (key, _), schema in by_key.items()}, definitions


def _operation(operation: Operation, schemas: dict[object, Json]) -> Json:
    described: Json = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "parameters": [_parameter(each) for each in operation.parameters],
        "responses": _responses(operation, schemas),
        "security": [{"bearer": []}, {"key": []}] if operation.scope else [],
    }
    if operation.scope:
        described["description"] = f"Needs an API key of the scope `{operation.scope}` where the service has keys."
    if operation.bodies:
        refs = [schemas[body] for body in operation.bodies]
        described["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": refs[0] if len(refs) == 1 else {"oneOf": refs},
                    "example": operation.example,
                }
            },
        }
    return described


def _parameter(parameter: Parameter) -> Json:
    described: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.place == "path",
        "schema": parameter.schema,
        "example": parameter.example,
    }
    if parameter.is_open:
        described |= {"style": "form", "explode": True}
    return described


def _responses(operation: Operation, schemas: dict[object, Json]) -> Json:
    content: Json = (
        {"application/json": {"schema": schemas[operation.answer]}}
        if operation.answer
        else {"text/plain": {"schema": {"type": "string"}}}
    )
    responses: Json = {str(operation.status): {"description": "What was asked for", "content": content}}
    statuses = {"500", "503"} if operation.limited or operation.operation_id == "readyz" else {"500"}
    statuses |= set(_OF_KEYS) if operation.scope else set()
    statuses |= set(_OF_BODIES) if operation.bodies else set()
    statuses |= set(_OF_PARAMETERS)  # every operation refuses parameters that it does not know
    statuses |= {"404"} if operation.can_miss else set()
    problem = {"application/problem+json": {"schema": schemas[ProblemDetails]}}
    for status in sorted(statuses):
        responses[status] = {"description": _PROBLEMS[status], "content": problem}
    return responses
