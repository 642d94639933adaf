"""The REST reference, from the OpenAPI document that the server hands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs.ext.text import heading, literal, plain, table
from imd.roles.openapi import document

_HEAD = """\
Written from what ``GET /api/v1/openapi.json`` answers, which is written from the records that are routed. All paths are
below ``/api/v1``; bodies and answers are JSON. What is *optional* may be left out. Errors have the form of `Problem`_, with
the codes of :doc:`/protocol`. ``python -m imd.roles.openapi`` prints the whole document for a generator of clients.
"""
_WHO = {"token": "a user's token", "operator": "an operator's token"}


def page() -> str:
    """Every operation, then every record."""
    described = document()
    schemas: Mapping[str, Any] = described["components"]["schemas"]
    lines = [
        *heading("REST, operation by operation"),
        _HEAD,
        ".. contents::",
        "   :local:",
        "   :depth: 1",
        "",
    ]
    for group, operations in _by_first_word(described["paths"]).items():
        lines += heading(group, 1)
        for path, method, operation in operations:
            lines += _operation(path, method, operation)
    lines += heading("Records", 1)
    for name, schema in sorted(schemas.items()):
        lines += _record(name, schema)
    return "\n".join(lines)


def _by_first_word(paths: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Any]]]:
    """The operations below each first part of a path."""
    found: dict[str, list[tuple[str, str, Any]]] = {}
    for path, methods in sorted(paths.items()):
        for method, operation in methods.items():
            found.setdefault(f"/{path.split('/')[1]}", []).append((path, method.upper(), operation))
    return found


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> list[str]:
    lines = [*heading(f"{method} {path}", 2), plain(operation["summary"]), ""]
    wanted = [_WHO[name] for each in operation["security"] for name in each]
    lines += [f":Needs: {wanted[0] if wanted else 'nothing'}"]
    if "requestBody" in operation:
        optional = "" if operation["requestBody"]["required"] else " (*optional*)"
        lines += [f":Body: {_reference(_schema(operation['requestBody']))}{optional}"]
    for status, answer in operation["responses"].items():
        if status != "default":
            lines += [f":Answers {status}: {_reference(_schema(answer))}"]
    lines += [""]
    if parameters := operation.get("parameters"):
        rows = [
            (literal(one["name"]), one["in"], _type(one["schema"]), plain(one["description"]))
            for one in parameters
        ]
        lines += table(("Parameter", "In", "Type", "Meaning"), rows, widths=(20, 10, 25, 45))
    return lines


def _record(name: str, schema: Mapping[str, Any]) -> list[str]:
    lines = heading(name, 2)
    if says := schema.get("description"):
        lines += [plain(says), ""]
    if "enum" in schema:
        return [*lines, "One of " + ", ".join(literal(value) for value in schema["enum"]) + ".", ""]
    if properties := schema.get("properties"):
        required = set(schema.get("required", ()))
        lines += table(("Field", "Type", "Meaning"), _fields(properties, required), widths=(25, 30, 45))
    return lines


def _fields(properties: Mapping[str, Any], required: set[str]) -> Iterator[tuple[str, str, str]]:
    for name, schema in properties.items():
        says = plain(schema.get("description", ""))
        yield literal(name) + ("" if name in required else " *optional*"), _type(schema), says


def _schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = content["content"]["application/json"]["schema"]
    return schema


def _reference(schema: Mapping[str, Any]) -> str:
    return f"`{schema['$ref'].rpartition('/')[2]}`_"


def _type(schema: Mapping[str, Any]) -> str:
    """In words, with its limits."""
    if "$ref" in schema:
        return _reference(schema)
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(literal(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}" + _limits(schema)
    return str(schema.get("type", "anything")) + _limits(schema)


#: How a limit of a schema is said.
_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "from {}",
    "maximum": "to {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "``{}``",
    "format": "{}",
}


def _limits(schema: Mapping[str, Any]) -> str:
    said = [says.format(schema[name]) for name, says in _LIMITS.items() if name in schema]
    return f" ({', '.join(said)})" if said else ""
