"""Text for people: untrusted text made safe to show, and what is wrong with a value."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

_NOUNS = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}


def plain_text(text: str) -> str:
    """Untrusted text on one line, without characters that a terminal or a page would act on.

    Control characters, direction marks and other invisible characters are removed; joiners and
    tags, which emoji need, are kept. White space becomes single spaces.
    """

    def harmless(character: str) -> bool:
        kind = unicodedata.category(character)
        needed = character in "\u200c\u200d" or "\U000e0020" <= character <= "\U000e007f"
        return needed or kind not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")

    spaced = " ".join(text.split())
    return "".join(character for character in spaced if harmless(character)).strip()


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One sentence for the first problem of a ValidationError: the setting and what it may be.

    What was given is never repeated, as it may be a secret or very long.

    Args:
        error: what `model` raised.
        model: whose JSON schema says what is allowed.
    """
    problem = error.errors(include_url=False, include_input=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    schema = model.model_json_schema()
    name, field, siblings = _field(problem["loc"], schema)
    if problem["type"] == "extra_forbidden":
        return no_such_setting(name, siblings)
    if problem["type"] == "value_error":  # of a validator of ours, in words of ours
        return f"Please check{f' {name}' if name else ''}: {message[:1].lower()}{message[1:]}."
    if not name:
        return "Please give the settings as names with values, a JSON object."
    allowed = _allowed(field, schema.get("$defs", {})) if field else "something else"
    if problem["type"] == "missing":
        return f"Please give {name}: it must be {allowed}."
    return f"Please change {name}: it must be {allowed}."


def settings_of(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Every setting of a model: name, what it may be, its default as JSON, what it is about."""
    schema = model.model_json_schema()
    known = schema.get("$defs", {})
    return [
        (
            name,
            # Without the description, which may stand for a pattern, and without an example.
            _allowed({k: v for k, v in field.items() if k != "default"}, known),
            json.dumps(field.get("default"), ensure_ascii=False),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]


def no_such_setting(name: str, names: Iterable[str]) -> str:
    """The sentence that refuses an unknown setting, with the known one that it is nearest to."""
    name = plain_text(name)[:40]
    near = get_close_matches(name, list(names), n=1)
    return f"There is no setting called {name}; please " + (
        f"write {near[0]}, if you meant that, or leave it out." if near else "leave it out."
    )


def join(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    *front, end = words
    return f"{', '.join(front)} {last} {end}" if front else end


def size_text(count: int) -> str:
    """A number of bytes as `5 MB`, `1.5 MB`, `64 kB` or `900 bytes`; 1 kB is 1,024 bytes.

    Rounded down, so that a file of the size that is named fits a limit.
    """
    for unit, name in ((2**20, "MB"), (2**10, "kB")):
        if count >= unit:
            return f"{count * 10 // unit / 10:g} {name}"
    return f"{count} bytes"


def pixels_text(count: int) -> str:
    """A number of pixels as `16 megapixels`, rounded down, or `90,000 pixels`."""
    if count >= 10**6:
        return f"{count // 10**5 / 10:g} megapixels"
    return f"{count:,} pixels"


def _field(
    where: tuple[int | str, ...], schema: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any] | None, list[str]]:
    """Name and schema of the setting at `where`, and the names beside it.

    An item of a list stands for the whole list, as it is given as a whole.
    """
    known, name, field = schema.get("$defs", {}), "", None
    here, siblings = schema, list(schema.get("properties", {}))
    for part in where:
        here = _resolved(here, known)
        if "properties" not in here:
            break
        siblings = list(here["properties"])
        name = plain_text(str(part))[:40]
        field = here = here["properties"].get(part, {})
    return name, field or None, siblings


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of an object, out of references and `X | None`."""
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolved(option, known)
    if reference := schema.get("$ref"):
        return known[reference.rpartition("/")[2]]
    return schema


def _allowed(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words: "a whole number from 1 to 64"."""
    if options := schema.get("anyOf"):
        about = {k: v for k, v in schema.items() if k in ("description", "default")}
        # In a JSON file; where null means nothing, leaving it out is the way.
        says_null = "null" in str(schema.get("description"))
        options = [each for each in options if says_null or each.get("type") != "null"]
        return join(_allowed(about | option, known) for option in options)
    schema = {**_resolved(schema, known), **schema}
    if "const" in schema or "enum" in schema:
        return join(str(value) for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "null":
            return "null"
        case "array":
            return _list(schema, known)
        case "object":
            return "a JSON object"
        case "string":
            if "pattern" in schema and "description" in schema:
                return schema["description"]
            most = schema.get("maxLength")
            return f"text of at most {most} characters" if most else "text"
        case kind:
            return f"{_NOUNS.get(kind or '', 'something else')}{_range(schema)}"


def _list(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    items = schema.get("items", {})
    kind = f"each {_allowed(items, known)}"
    number = f"{least} to {most} values" if most else "values"
    example = json.dumps(schema["default"]) if schema.get("default") else ""
    return f"a list of {number}, {kind}" + (f", such as {example}" if example else "")


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if schema.get("type") == "integer" and below is not None:
        high, below = below - 1, None
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    words = []
    if low is not None:
        words.append(f"of at least {_number(low)}")
    if above is not None:
        words.append(f"above {_number(above)}")
    if high is not None:
        words.append(f"{'at' if words else 'of at'} most {_number(high)}")
    if below is not None:
        words.append(f"below {_number(below)}")
    return f" {join(words, 'and')}" if words else ""


def _number(value: float) -> str:
    return f"{value:,}".removesuffix(".0") if value >= 1000 else f"{value:g}"
