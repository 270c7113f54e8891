import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def builder():
    spec = importlib.util.spec_from_file_location("build_notebook", EXAMPLES / "build_notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells():
    """Source and stored outputs of the notebook's code cells."""
    book = json.loads((EXAMPLES / "growing_nca.ipynb").read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    return [("".join(c["source"]), c["outputs"])
            for c in book["cells"] if c["cell_type"] == "code"]  # fmt: skip


def numbers(outputs):
    text = "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")
    return [float(n) for n in re.findall(r"(?<=[ :])-?\d+\.\d+", text)]


def test_the_notebook_is_the_builder_s_and_is_executed():
    cells = code_cells()
    assert [source for source, _ in cells] == [c for c in builder().CELLS if c[0] != "#"]
    assert sum(o["output_type"] == "display_data" for _, outputs in cells for o in outputs) >= 7
    assert not any(o["output_type"] == "error" for _, outputs in cells for o in outputs)


@pytest.mark.long
def test_the_notebook_runs_and_shows_what_it_says():
    """All four experiments, run anew: it grows, persistence lasts longer, a cut heals, it turns."""
    sources = [source for source, _ in code_cells()]
    for source in sources:
        ast.parse(source)
    outputs = dict(zip(sources, builder().run(sources), strict=True))

    def found(word):
        return numbers(next(out for source, out in outputs.items() if word in source))

    first, last = found('train(start="seed"')
    assert last < 0.6 * first
    *_, growing, persistent = found("train(growing")  # at step 300
    assert persistent < growing
    *_, cut, _, healed = found("train(persistent")
    assert healed < cut - 0.2
    straight, *_, quarter = found("for degrees in")
    assert straight < -1.5 and quarter < straight + 0.5
