"""docs/settings.md says what the code does. `python tests/settings/test_documentation.py` writes its tables anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poolkeeper.facts import PROVIDERS, Fact
from poolkeeper.settings import DatabaseSettings
from poolkeeper.settings.profiles import PROFILES

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
TIMES = {"pool_recycle", "tcp_keepalive"}
SHARES = {"recycle_jitter", "retry_budget"}


def unit_of(name: str, schema: dict[str, Any]) -> str:
    kinds = {part.get("type") for part in schema.get("anyOf", [schema])}
    return "s" if name in TIMES or ("number" in kinds and name not in SHARES) else ""


def minimum_of(schema: dict[str, Any]) -> str:
    for part in schema.get("anyOf", [schema]):
        if "minimum" in part:
            return str(part["minimum"])
        if "exclusiveMinimum" in part:
            return f"more than {part['exclusiveMinimum']:g}"
    return ""


def default_of(name: str, schema: dict[str, Any]) -> str:
    if name == "command_timeout":
        return "statement_timeout + 5"
    if name == "reserved_connections":
        return "the server's"
    if name == "min_idle":
        return "pool_size"
    default = schema.get("default", "required" if name == "url" else {})
    if default in ([], {}):
        return ""
    return "none" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def settings_table() -> Iterator[str]:
    yield "| Setting | Environment | Unit | Default | Minimum | What it is |"
    yield "|---|---|---|---|---|---|"
    for name, schema in DatabaseSettings.model_json_schema()["properties"].items():
        cells = (unit_of(name, schema), default_of(name, schema), minimum_of(schema), schema["description"])
        yield f"| `{name}` | `DATABASE_{name.upper()}` | {' | '.join(cells)} |"


def profiles_table() -> Iterator[str]:
    fields = list(dict.fromkeys(field for profile in PROFILES.values() for field in profile))
    yield f"| Profile | {' | '.join(f'`{field}`' for field in fields)} |"
    yield f"|---|{'---|' * len(fields)}"
    for name, profile in PROFILES.items():
        cells = [str(profile[field]).replace("None", "none") if field in profile else "" for field in fields]
        yield f"| `{name}` | {' | '.join(cells)} |"


def number(fact: Fact[float] | None) -> str:
    return "" if fact is None else f"{fact.value:g} s"


def providers_table() -> Iterator[str]:
    yield "| `provider` | What it is | Recognised by | Pooler | Idle cut | Maximum age |"
    yield "|---|---|---|---|---|---|"
    for name, provider in PROVIDERS.items():
        pooler = provider.mode if provider.pooler_sure else f"{provider.mode} assumed"
        cells = (
            provider.title,
            provider.recognised_by.value,
            pooler,
            number(provider.idle_cut),
            number(provider.maximum_age),
        )
        yield f"| `{name}` | {' | '.join(cells)} |"


def sources_list() -> Iterator[str]:
    for name, provider in PROVIDERS.items():
        facts = [
            provider.recognised_by,
            provider.pooler,
            provider.idle_cut,
            provider.maximum_age,
            provider.connection_cap,
        ]
        told = dict.fromkeys(f"{fact.source} ({fact.as_of})" for fact in facts if fact is not None)
        yield f"- `{name}`: {'; '.join(told)}"
        yield from (f"  - {note.value} ({note.source})" for note in provider.constraints)


TABLES = {
    "settings": settings_table,
    "profiles": profiles_table,
    "providers": providers_table,
    "sources": sources_list,
}


def block(name: str) -> str:
    return f"<!-- {name} -->\n\n" + "\n".join(TABLES[name]()) + f"\n\n<!-- /{name} -->"


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_what_the_code_has(name):
    assert block(name) in PAGE.read_text(encoding="utf-8"), f"run: python {Path(__file__).name}"


def test_every_finding_is_explained_and_none_that_is_gone(finding_codes):
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("## Findings") :]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == finding_codes


def test_the_python_on_the_page_runs(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://u:p@db/shop")
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), {})


def write() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in TABLES:
        text = re.sub(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, name=name: block(name), text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
