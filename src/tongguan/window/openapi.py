"""OpenAPI 3.1 of the gateway, made from the table of routes and the types of its answers."""

import re
from functools import cache
from typing import Any

import msgspec

import tongguan
from tongguan.sharing.payment_data.protocol import UPLOAD_FIELD
from tongguan.window import answers

_REF = "#/components/schemas/{name}"
_ANYWHERE = (404, 500, 503)
"""Problems that any route may answer with."""
_WITH_KEY = (401, 403, 429)


@cache
def document() -> dict[str, Any]:
    """The description as JSON values."""
    # The table holds the view that shows this.
    from tongguan.window.routes import PUBLIC, ROUTES, Route

    types: dict[type, None] = {answers.Problem: None}
    for route in ROUTES:
        types |= dict.fromkeys(route.answers)
        types |= dict.fromkeys(each for each in (route.body or {}).values() if each)
    _, components = msgspec.json.schema_components(list(types), ref_template=_REF)

    def operation(route: Route) -> dict[str, Any]:
        problems = {*route.problems, *_ANYWHERE, *(() if route.scope == PUBLIC else _WITH_KEY)}
        made: dict[str, Any] = {
            "operationId": operation_id(route.method, route.path),
            "summary": route.about,
            "responses": _answers(route) | {str(n): _problem() for n in sorted(problems)},
        }
        if route.scope != PUBLIC:
            made["security"] = [{"key": []}]
            made["x-scope"] = route.scope
        if route.parameters:
            made["parameters"] = [
                {
                    "name": each.name,
                    "in": each.place,
                    "required": each.required or each.place == "path",
                    "description": each.about,
                    "schema": each.schema,
                }
                for each in route.parameters
            ]
        if route.body:
            made["requestBody"] = {
                "required": True,
                "content": {kind: {"schema": _body(kind, of)} for kind, of in route.body.items()},
            }
        return made

    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tongguan gateway",
            "version": tongguan.__version__,
            "description": "Signed customs messages in, durable receipts out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation_id(method: str, path: str) -> str:
    """A name of a route, for generated clients.

    >>> operation_id("GET", "/api/messages/{id}")
    'get_messages_id'
    """
    words = re.findall(r"[a-z]+", path.removeprefix("/api"))
    return "_".join([method.lower(), *words])


def _answers(route: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in route.answers:
        about = " ".join((each.__doc__ or "").split("\n\n")[0].split())
        answer: dict[str, Any] = {"description": about}
        if each is not answers.Nothing:
            schema = {"$ref": _REF.format(name=each.__name__)}
            answer["content"] = {"application/json": {"schema": schema}}
        found[str(each.status_code)] = answer
    if route.text:
        content = found.setdefault("200", {"description": route.about}).setdefault("content", {})
        content |= {kind: {} for kind in route.text}
    return found


def _problem() -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=answers.Problem.__name__)}
    return {"description": "Why not.", "content": {"application/problem+json": {"schema": schema}}}


def _body(kind: str, of: type | None) -> dict[str, Any]:
    if of is not None:
        return {"$ref": _REF.format(name=of.__name__)}
    if kind == "multipart/form-data":
        files = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
        return {"type": "object", "properties": {"message": files}, "required": ["message"]}
    if kind == "application/x-www-form-urlencoded":
        text = {UPLOAD_FIELD: {"type": "string"}}
        return {"type": "object", "properties": text, "required": [UPLOAD_FIELD]}
    return {"type": "string", "format": "binary"}
