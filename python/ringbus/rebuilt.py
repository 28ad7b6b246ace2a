"""Event classes made again from the schema in a shared segment, and the comparison of two schemas."""

from __future__ import annotations

import ast
import decimal as decimals
import enum
import json
import re
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ringbus.errors import LayoutError
from ringbus.event import Event, EventMeta
from ringbus.fields import MISSING, FieldSpec

Document = dict[str, Any]

_ANNOTATIONS: dict[str, Any] = {"text": str, "blob": bytes, "decimal": decimals.Decimal, "bool": bool}


def documents(schema: str) -> list[Document]:
    """The schemas in a segment, one an event type.

    Raises:
        LayoutError: no JSON that describes events.
    """
    try:
        found = json.loads(schema)
        if isinstance(found, list) and found and all(map(_is_document, found)):
            return cast("list[Document]", found)
    except (ValueError, RecursionError):
        pass
    raise LayoutError("the segment's schema cannot be read", schema[:80], "a JSON array of event types")


def _is_document(found: object) -> bool:
    """Whether it says all that is asked of it here, in the types that are expected."""
    fields = found.get("fields") if isinstance(found, dict) and isinstance(found.get("event"), str) else None
    return isinstance(fields, list) and bool(fields) and all(map(_is_field, fields))


def _is_field(found: object) -> bool:
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(key), str) for key in ("name", "kind", "dtype"))
        and isinstance(found.get("offset"), int)
    )


def event_classes(schema: str) -> tuple[EventMeta, ...]:
    """Make the event classes that a segment describes.

    They have the fields, names and defaults of the originals, without their methods.

    Raises:
        LayoutError: a schema that this version does not know.
    """
    return tuple(_event_class(document) for document in documents(schema))


def _event_class(document: Document) -> EventMeta:
    try:
        specs = {field["name"]: _spec(field) for field in document["fields"]}
        members = {field["name"]: _members(field) for field in document["fields"] if "members" in field}
        bare = _make(document["event"], specs, members)
        filled = _defaults(bare, document)
        specs = {name: replace(spec, default=filled.get(name, MISSING)) for name, spec in specs.items()}
        made = _make(document["event"], specs, members)
    except Exception as error:  # whatever the text says, it is the segment that is wrong
        fact = f"the segment's event type {document.get('event')!r} cannot be made again ({error})"
        raise LayoutError(fact, "its schema", "one of this version") from error
    if made.dtype.itemsize != document.get("itemsize"):
        raise LayoutError(f"{document['event']} is laid out otherwise", document.get("itemsize"), made.dtype.itemsize)
    return made


def _make(name: str, specs: dict[str, FieldSpec], members: dict[str, type[enum.Enum]]) -> EventMeta:
    annotations = {field: members.get(field) or _ANNOTATIONS.get(spec.kind, Any) for field, spec in specs.items()}
    namespace = {"__annotations__": annotations, "__module__": __name__, "__qualname__": name, **specs}
    return EventMeta(name, (Event,), namespace)


def _spec(field: Document) -> FieldSpec:
    return FieldSpec(field["kind"], _dtype(field["dtype"]), MISSING, field.get("places", 0))


def _dtype(stored: str) -> np.dtype[Any]:
    """The type that `ringbus.schema` wrote as text: a base, which may be a structure, and a shape.

    Raises:
        ValueError: no such text, or a type that holds Python objects.
    """
    parts = re.fullmatch(r"(.+?)(\[[\d, ]+\])?", stored)
    if parts is None:
        raise ValueError(f"{stored!r} is no type")
    base = _structure(ast.literal_eval(parts[1])) if stored.startswith("[") else np.dtype(parts[1])
    made = np.dtype((base, tuple(ast.literal_eval(parts[2])))) if parts[2] else base
    if made.hasobject or made.itemsize == 0:
        raise ValueError(f"{stored!r} has no fixed layout")
    return made


def _structure(described: list[Any]) -> np.dtype[Any]:
    """A structure from what its `descr` says; parts without a name are padding."""
    names, formats, offsets, at = [], [], [], 0
    for name, *form in described:
        part = np.dtype([("", *form)])
        if name:
            names.append(name)
            formats.append(part[0])
            offsets.append(at)
        at += part.itemsize
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": at})


def _members(field: Document) -> type[enum.Enum]:
    return cast("type[enum.Enum]", enum.Enum(field["name"], dict(field["members"])))


def _defaults(bare: EventMeta, document: Document) -> dict[str, Any]:
    """The values of the fields that need not be named."""
    optional = [field["name"] for field in document["fields"] if not field["required"]]
    if not optional:
        return {}
    record = np.frombuffer(bytes.fromhex(document["defaults"]), bare.dtype)[0]
    event = cast("type[Event]", bare).from_record(record)
    return {name: getattr(event, name) for name in optional}


def check_same(name: str, schema: str, types: tuple[EventMeta, ...]) -> None:
    """Compare the schema of the ring `name` with event classes, field by field.

    Raises:
        LayoutError: it names the first difference, and both sides.
    """
    theirs = documents(schema)
    ours = [documents(f"[{known.__schema__.json}]")[0] for known in types]
    if len(theirs) != len(ours):
        found, expected = [t["event"] for t in theirs], [o["event"] for o in ours]
        raise LayoutError(f"ring {name!r} has other event types", found, expected)
    for their, our in zip(theirs, ours, strict=True):
        _check_fields(name, their, our)


def _check_fields(name: str, their: Document, our: Document) -> None:
    for place in range(max(len(their["fields"]), len(our["fields"]))):
        found, expected = _field_at(their, place), _field_at(our, place)
        if found != expected:
            where = f"field {place} of {our['event']} on ring {name!r} differs"
            raise LayoutError(where, found or "no field", expected or "no field")


def _field_at(document: Document, place: int) -> str:
    if place >= len(document["fields"]):
        return ""
    field = document["fields"][place]
    return f"{field['name']}: {field['kind']} {field['dtype']} at byte {field['offset']}"
