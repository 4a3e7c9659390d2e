"""No test here sees the DATABASE_ variables of the machine it runs on."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import poolkeeper.settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("DATABASE_"):
            monkeypatch.delenv(name)


def _codes(tree: ast.Module) -> Iterator[str]:
    """The codes of the findings that a module makes: the first argument of Finding(), or a name given one before."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Finding"), args=[ast.Constant(value=str(code)), *_]):
                yield code
            case ast.Call(func=ast.Name(id="Finding"), keywords=[ast.keyword(value=ast.Constant(value=str(code))), *_]):
                yield code
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])],
                value=ast.Tuple(elts=[ast.Constant(value=str(code)), *_]),
            ):
                yield code


@pytest.fixture(scope="session")
def finding_codes() -> set[str]:
    """Every code that settings can raise or report."""
    folder = Path(poolkeeper.settings.__file__).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")]
    kinds = {"sync-driver-in-async-engine", "async-driver-in-sync-engine"}
    return {code for tree in trees for code in _codes(tree)} | kinds
