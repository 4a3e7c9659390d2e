"""No fact without a source and a date."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from datetime import date

import pytest

import poolkeeper.facts
from poolkeeper.facts import PROVIDERS, Fact


def facts_in(value: object, where: str) -> Iterator[tuple[str, Fact[object]]]:
    if isinstance(value, Fact):
        yield where, value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from facts_in(getattr(value, field.name), f"{where}.{field.name}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from facts_in(item, f"{where}[{key}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, item in enumerate(value):
            yield from facts_in(item, f"{where}[{number}]")


def all_facts() -> list[tuple[str, Fact[object]]]:
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(poolkeeper.facts.__path__, "poolkeeper.facts.")
    ]
    return [
        found
        for module in modules
        for name, value in vars(module).items()
        if not inspect.ismodule(value)
        for found in facts_in(value, f"{module.__name__}.{name}")
    ]


def test_every_fact_has_a_source_and_a_date_that_has_been():
    facts = all_facts()
    assert len(facts) > 80
    for where, fact in facts:
        assert len(fact.source) > 10, where
        assert date(2024, 1, 1) < fact.as_of <= date.today(), where  # noqa: DTZ011


def test_a_fact_shows_its_source():
    assert str(Fact(3, "a book", date(2026, 1, 2))) == "3 (a book, 2026-01-02)"


def test_a_fact_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fact(3, "a book", date(2026, 1, 2)).value = 4


def test_a_provider_is_listed_under_its_own_name_and_says_how_it_is_recognised():
    for name, provider in PROVIDERS.items():
        assert provider.name == name
        assert provider.title
        assert provider.recognised_by.value
        assert provider.pooler_sure or provider.mode != "none"
