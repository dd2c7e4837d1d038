"""docs/pandas.md: every block runs, in order, and gives what the guide says."""

import ast
import re
from pathlib import Path

import pytest

from examples.make_crops import draw_rows, write_table

pytest.importorskip("sklearn")

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "pandas.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def run(code, names):
    """What the last line of a block gives, as a notebook has it."""
    *statements, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        exec(compile(code, GUIDE.name, "exec"), names)
        return None
    exec(compile(ast.Module(statements, []), GUIDE.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), GUIDE.name, "eval"), names)


def test_every_block_of_the_guide_runs_and_gives_what_it_says(tmp_path, monkeypatch):
    write_table(tmp_path / "people.csv", draw_rows())
    monkeypatch.chdir(tmp_path)
    guide = GUIDE.read_text("utf-8")
    blocks = BLOCK.findall(guide)
    assert len(blocks) == guide.count("```python")
    names = {}
    for code, wanted in blocks:
        found = run(code, names)
        assert f"{found!r}\n" == wanted if wanted else found is None, code
