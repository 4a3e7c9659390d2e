"""The size budgets of the code: modules of at most 400 lines, nine of ten functions of at most 30.

Usage: python tools/budgets.py FOLDER...   Exits 1 when a budget is exceeded and says where.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES_P90 = 30
FUNCTION_LINES_MAX = 60


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring: explaining more must never cost budget."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    documentation = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - documentation


def functions_of(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return [
        (body_lines(node), f"{path}:{node.lineno} {node.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def main(folders: list[str]) -> int:
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py") if "tests" not in path.parts)
    problems = [
        f"{path}: {count} lines, more than {MODULE_LINES}"
        for path in paths
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MODULE_LINES
    ]
    functions = sorted(found for path in paths for found in functions_of(path))
    problems += [
        f"{where}: {size} lines, more than {FUNCTION_LINES_MAX}"
        for size, where in functions
        if size > FUNCTION_LINES_MAX
    ]
    p90 = functions[int(len(functions) * 0.9)][0] if functions else 0
    if p90 > FUNCTION_LINES_P90:
        problems.append(f"one function in ten is longer than {p90 - 1} lines; the budget is {FUNCTION_LINES_P90}")
    print("\n".join(problems) or f"{len(paths)} modules and {len(functions)} functions within budget, p90 {p90} lines")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
