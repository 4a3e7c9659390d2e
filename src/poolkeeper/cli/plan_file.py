"""The TOML file of `poolkeeper plan`: read, and written for the first time."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from poolkeeper.planner.quantities import Surge
from poolkeeper.planner.workload import DatabaseServer, Field, Part, PoolerLimits, Service, fields_of

NAME = "plan.toml"
_HEAD = """\
# What `poolkeeper plan` works with: poolkeeper plan {name}
# Durations have a unit: 500us, 50ms, 1.5s, 2m. Lines that begin with "# name =" are optional, with their defaults or,
# where there is none, with an example.
"""
# What stands in the file where a value has no default. Nothing is planned for but what the user makes of it.
_EXAMPLES: Mapping[str, str] = {
    "rps": "100",
    "hold": '"50ms"',
    "hold_p99": '"200ms"',
    "hold_histogram": '{ "10ms" = 100, "50ms" = 500, "200ms" = 395, more = 5 }',
    "client_timeout": '"2s"',
    "concurrency": "40",
    "min_pods": "1",
    "max_pods": "4",
    "leaving": "1",
    "pool_size": "20",
    "cores": "4",
    "provider": '"postgresql"',
}


class FileUnusable(Exception):  # noqa: N818 - says what happened
    """A file cannot be read, or must not be written; the message says which and what to do."""


def read(path: Path) -> Mapping[str, object]:
    """The document in a TOML file. Raises `FileUnusable`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileUnusable(f"{path}: {error.strerror or error}; `poolkeeper plan --init` writes a file") from None
    except UnicodeDecodeError:
        raise FileUnusable(f"{path}: it is not UTF-8, which TOML has to be") from None
    except ValueError as error:
        # Also for an integer of thousands of digits.
        raise FileUnusable(f"{path}: it is not TOML: {error}") from None


def write_new(path: Path) -> None:
    """Write a commented file. Raises `FileUnusable` where there is one already, and where it cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(path.name))
    except FileExistsError:
        raise FileUnusable(f"{path}: it exists already, and stays as it is; name another file") from None
    except OSError as error:
        raise FileUnusable(f"{path}: {error.strerror or error}") from None


def template(name: str = NAME) -> str:
    """A file with every value there is: what is needed as an example, what is optional as a comment."""
    parts: list[str] = [_HEAD.format(name=name)]
    for title, kind in (("server", DatabaseServer), ("services.orders", Service), ("server.pooler", PoolerLimits)):
        optional = kind is PoolerLimits
        parts += [f"# [{title}]" if optional else f"[{title}]", *_lines(kind), ""]
    return "\n".join(parts)


def _lines(kind: type[Part]) -> Iterator[str]:
    for name, field in fields_of(kind).items():
        if name == "name":
            continue
        yield f"## {field.meaning}"
        yield f"{'' if field.is_required else '# '}{name} = {_example(field)}"


def _example(field: Field) -> str:
    default = field.default
    if field.is_required or default is None:
        return _EXAMPLES[field.name]
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str | Surge):
        return f'"{default}"'
    if "duration" in field.quantity.needed:
        return f'"{default:g}s"'
    return f"{default:g}"
