"""What programs are told about the endpoints: names and descriptions of all they take and return.

Gradio derives an endpoint's parameters from the types of a function. Their descriptions are in the
docstring, and here they reach `/gradio_api/info`, the page's OpenAPI schema, and MCP.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from gradio.block_function import BlockFunction
from gradio.utils import get_function_description
from pydantic import TypeAdapter


def on_single_lines(docstring: str) -> str:
    """A docstring whose parameters are described on one line each, as Gradio reads them."""
    lines: list[str] = []
    for line in inspect.cleandoc(docstring).splitlines():
        continued = line.startswith("        ") or (
            line.startswith("    ") and not re.match(r" {4}\w+: ", line)
        )
        if continued and lines and lines[-1].startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def describe(endpoint: BlockFunction, call: Callable[..., Any], answer: Any) -> None:
    """Give an endpoint's parameters and its answer names, types and descriptions.

    Args:
        endpoint: as `gradio.events.api` registered it.
        call: its function, with a docstring of single lines, see `on_single_lines`.
        answer: the type that it returns, with descriptions.
    """
    _, parameters, returns = get_function_description(call)
    for block, name in zip(endpoint.inputs, parameters, strict=True):
        _tell(block, name, block.api_info(), parameters[name])  # pyright: ignore
    (block,) = endpoint.outputs
    schema = TypeAdapter(answer).json_schema()
    _tell(block, "answer", _inlined(schema, schema.get("$defs", {})), " ".join(returns))


def _tell(block: Any, name: str, schema: dict[str, Any], description: str) -> None:
    block.label = name
    # The second is what Gradio shows as the description of a parameter's type.
    told = {"description": description, "additional_description": description}
    block._api_info = {**schema, **told}


def _inlined(schema: Any, defs: dict[str, Any]) -> Any:
    """A JSON schema without references, which Gradio's clients do not all follow, and titles."""
    if isinstance(schema, list):
        return [_inlined(part, defs) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(defs[schema["$ref"].rpartition("/")[2]], defs)
    # A title that is text is Pydantic's; one that is a schema is a property of that name.
    return {
        name: _inlined(part, defs)
        for name, part in schema.items()
        if name != "$defs" and not (name == "title" and isinstance(part, str))
    }
