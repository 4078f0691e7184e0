"""What keeps the house readable: few parameters, short functions, short files."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from conftest import ROOT

FILES = sorted(
    path
    for folder in ("fusionjax", "studies", "benchmarks", "launch")
    for path in (ROOT / folder).rglob("*.py")
)


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def parameters(function: ast.FunctionDef) -> list[str]:
    """Names of all, keyword-only ones included, but not the object itself."""
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def test_parameters_are_counted_by_hand() -> None:
    (function,) = ast.parse("def f(self, a, /, b, *rest, c=1, **more): ...").body
    assert isinstance(function, ast.FunctionDef)
    assert parameters(function) == ["a", "b", "c"]


def test_no_function_has_more_than_six_parameters() -> None:
    many = [
        f"{path.relative_to(ROOT)}:{f.lineno} {f.name}: {len(parameters(f))}"
        for path, f in functions()
        if len(parameters(f)) > 6
    ]
    assert not many, "what travels together is one object"


def test_functions_and_files_stay_short() -> None:
    assert len(FILES) > 100
    lines = {path: len(path.read_text().splitlines()) for path in FILES}
    assert not [str(path) for path, count in lines.items() if count > 400]
    assert statistics.median(lines.values()) <= 160
    lengths = [(f.end_lineno or f.lineno) - f.lineno + 1 for _, f in functions()]
    assert np.percentile(lengths, 95) <= 45
