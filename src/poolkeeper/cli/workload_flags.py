"""The values of a workload as options of a command, each named and told as in `poolkeeper.planner.workload`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, cast

import typer

from poolkeeper.model import Finding
from poolkeeper.planner.workload import DatabaseServer, Field, Part, PoolerLimits, Service, fields_of

Table = Mapping[str, object]

SERVICE = "service"
# In a file only: a table does not fit into an option.
_NOT_FLAGS = frozenset({"hold_histogram"})
# Those that would mean something else by their own name.
_RENAMED: Mapping[tuple[type[Part], str], str] = {
    (PoolerLimits, "mode"): "pooler",
    (PoolerLimits, "pool_size"): "pooler_pool_size",
    (PoolerLimits, "instances"): "pooler_instances",
    # An option for the pooler says that there is one.
    (Service, "pooler"): "",
}


def _flags() -> Mapping[str, tuple[type[Part], Field]]:
    found: dict[str, tuple[type[Part], Field]] = {}
    for kind in (Service, DatabaseServer, PoolerLimits):
        for name, field in fields_of(kind).items():
            flag = _RENAMED.get((kind, name), name)
            if flag and name not in _NOT_FLAGS:
                found[flag] = kind, field
    return found


FLAGS = _flags()


def with_workload_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each value; it is called with those that were given as `flags`, by name."""
    own = inspect.signature(command, eval_str=True)

    def run(**values: Any) -> None:
        flags = {name: values.pop(name) for name in FLAGS}
        command(**values, flags={name: value for name, value in flags.items() if value is not None})

    parameters = [one for one in own.parameters.values() if one.name != "flags"]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(name, field))
        for name, (_, field) in FLAGS.items()
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _option(name: str, field: Field) -> Any:
    meaning = f"{field.meaning} Default: {field.default}." if field.default is not None else field.meaning
    return Annotated[str | None, typer.Option(f"--{name.replace('_', '-')}", help=meaning, metavar="VALUE")]


class FlagsUnclear(Exception):  # noqa: N818 - says what happened
    """It cannot be told which service of a file the options are about; the message says what to do."""


def document_of(flags: Table, document: Table, *, fresh: bool = False) -> dict[str, object]:
    """The document with these values in the place of its own. Raises `FlagsUnclear`.

    They are about its only service, or the one of `--name`; in a `fresh` document there is one to begin with.
    """
    result = dict(document)
    values = _of(Service, flags, {"name"})
    limits = _of(PoolerLimits, flags)
    of_server = _of(DatabaseServer, flags) | (
        {"pooler": _under(document.get("server"), "pooler") | limits} if limits else {}
    )
    if of_server:
        result["server"] = _table(document.get("server")) | of_server
    if limits:
        values["pooler"] = True
    if values or "name" in flags or fresh:
        services = _table(document.get("services"))
        name = _meant(flags, services)
        result["services"] = services | {name: _table(services.get(name)) | values}
    return result


def subject_of(finding: Finding, flags: Table, file: str | None) -> str:
    """Where a problem is, as the user wrote it: the option, or the place in the file."""
    part, _, name = finding.subject.rpartition(".")
    kind: type[Part] = (
        Service if part.startswith("services.") else PoolerLimits if part == "server.pooler" else DatabaseServer
    )
    flag = _RENAMED.get((kind, name), name)
    if flag in flags or (file is None and flag in FLAGS):
        return f"--{flag.replace('_', '-')}"
    return finding.subject if file is None else f"{file}, {finding.subject}"


def _of(kind: type[Part], flags: Table, without: Iterable[str] = ()) -> dict[str, object]:
    """The values of one part, by the names that they have in a document."""
    return {
        FLAGS[flag][1].name: value for flag, value in flags.items() if FLAGS[flag][0] is kind and flag not in without
    }


def _meant(flags: Table, services: Table) -> str:
    if "name" in flags:
        return str(flags["name"])
    if len(services) > 1:
        raise FlagsUnclear(f"say with --name which service the options are about: {', '.join(services)}")
    return next(iter(services), SERVICE)


def _under(table: object, name: str) -> dict[str, object]:
    return _table(_table(table).get(name))


def _table(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise FlagsUnclear(f"options cannot change {value!r:.60} in the file: a table of names and values is needed")
    return dict(cast("Table", value))
