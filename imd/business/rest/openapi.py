"""The API's description in OpenAPI 3.1, made from the very records that are routed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from imd.business.rest.operation import Asked, Operation, Parameter
from imd.business.rest.problems import MEANING, Problem

_REF = "#/components/schemas/{name}"


class Description(Struct):
    """Takes the place of the document's own schema: OpenAPI does not describe itself."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]
    servers: list[dict[str, str]]


def with_description(operations: Sequence[Operation], *, version: str) -> list[Operation]:
    """The operations, and one more that tells about all of them."""
    described = list(operations)

    async def serve(_: Asked) -> Description:
        return description

    described.append(
        Operation("GET", "/openapi.json", "openapi", "This document", serve, Description, public=True)
    )
    description = describe(described, version)
    return described


def describe(operations: Sequence[Operation], version: str) -> Description:
    """The document about these."""
    types: list[Any] = [Problem]
    for operation in operations:
        types.append(operation.answer)
        if operation.body is not None:
            types.append(operation.body)
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return Description(
        openapi="3.1.0",
        info={
            "title": "imd REST API",
            "version": version,
            "description": "Accounts, groups and conversations. Messages travel over TCP and WebSocket.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": "/api/v1"}],
        paths=paths,
        components={
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "operator": {"type": "http", "scheme": "bearer"},
            },
        },
    )


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": _security(operation),
        "responses": {
            str(operation.status): {"description": "Done.", "content": _content(operation.answer)},
            "default": {"description": MEANING, "content": _content(Problem)},
        },
    }
    parameters = [_parameter(one, "path") for one in operation.path_parameters]
    parameters += [_parameter(one, "query") for one in operation.query_parameters]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": operation.body_required, "content": _content(operation.body)}
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.public:
        return []
    return [{"operator": []}] if operation.operator else [{"token": []}]


def _parameter(parameter: Parameter, place: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "required": place == "path",
        "description": parameter.meaning,
        "schema": parameter.schema,
    }


def _content(struct: type[Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=struct.__name__)}}}
