"""From names and values, as a TOML file or a command line has them, to a workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from poolkeeper.facts import PROVIDERS
from poolkeeper.model import Finding, Severity
from poolkeeper.model.names import closest
from poolkeeper.planner.problems import no_services, of_service, of_value, of_workload
from poolkeeper.planner.refused import WorkloadRefused
from poolkeeper.planner.workload import DatabaseServer, Part, PoolerLimits, Service, Workload, fields_of

Table = Mapping[str, object]


def workload_of(document: Table) -> Workload:
    """The workload that a document describes. Raises `WorkloadRefused` with every problem in it.

    The document has a table `services` with one table per service, and a table `server`, which may hold a table
    `pooler`. Durations are texts with a unit.
    """
    reader = _Reader()
    workload = reader.workload(document)
    if workload is None or reader.findings:
        raise WorkloadRefused(reader.findings)
    return workload


class _Reader:
    """Reads on after a problem, so that all of them are told at once."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def workload(self, document: Table) -> Workload | None:
        self._known(document, ("services", "server"), "")
        server = self._server(self._table(document, "server", ""))
        tables = self._table(document, "services", "")
        services = [self._service(name, tables) for name in tables]
        if not tables and not self.findings:
            self.findings.append(no_services())
        read = [service for service in services if service is not None]
        if server is None or len(read) < len(services) or not read:
            return None
        workload = Workload(services=tuple(read), server=server)
        self.findings += of_workload(workload)
        return workload

    def _service(self, name: str, tables: Table) -> Service | None:
        where, before = f"services.{name}", len(self.findings)
        table = self._table(tables, name, "services.")
        if len(self.findings) > before:
            return None
        self._known(table, [field for field in fields_of(Service) if field != "name"], f"{where}.")
        values = self._values(Service, {**table, "name": name}, where)
        if "hold" not in table and (measured := values.get("hold_histogram")) is not None:
            values["hold"] = measured.mean
        elif "hold" not in table:
            self.findings.append(_missing(f"{where}.hold", Service, "hold"))
        if not fields_of(Service).keys() <= values.keys():
            return None
        service = Service(**values)
        self.findings += of_service(service)
        return service

    def _server(self, table: Table) -> DatabaseServer | None:
        self._known(table, [*fields_of(DatabaseServer), "pooler"], "server.")
        values = self._values(DatabaseServer, table, "server")
        if "pooler" in table:
            limits = self._table(table, "pooler", "server.")
            self._known(limits, fields_of(PoolerLimits), "server.pooler.")
            found = self._values(PoolerLimits, limits, "server.pooler")
            if not fields_of(PoolerLimits).keys() <= found.keys():
                return None
            values["pooler"] = PoolerLimits(**found)
        if not fields_of(DatabaseServer).keys() <= values.keys():
            return None
        return DatabaseServer(**_of_provider(table, values))

    def _values(self, kind: type[Part], table: Table, where: str) -> dict[str, Any]:
        """What could be read; a field that is left out has its default."""
        values: dict[str, Any] = {}
        for name, field in fields_of(kind).items():
            place = f"{where}.{name}"
            if name not in table:
                if not field.is_required:
                    values[name] = field.default
                elif name != "hold":
                    self.findings.append(_missing(place, kind, name))
                continue
            try:
                value = field.quantity.read(table[name])
            except (ValueError, OverflowError):
                self.findings.append(of_value(field, place, table[name]))
                continue
            if field.quantity.takes(value):
                values[name] = value
            else:
                self.findings.append(of_value(field, place, table[name]))
        return values

    def _table(self, table: Table, name: str, where: str) -> Table:
        value = table.get(name, {})
        if _is_table(value):
            return value
        self.findings.append(
            Finding(
                "workload-table-expected",
                Severity.ERROR,
                f"{where}{name}",
                f"{name} is {value!r:.60}",
                "it has to be a table of names and values",
                f"Write [{where}{name}] on a line of its own, and its values below",
            )
        )
        return {}

    def _known(self, table: Table, known: Iterable[str], where: str) -> None:
        known = list(known)
        for name in (name for name in table if name not in known):
            guess = closest(name, known)
            self.findings.append(
                Finding(
                    "workload-key-unknown",
                    Severity.ERROR,
                    f"{where}{name}",
                    f"nothing reads {name}",
                    "a value that nothing reads would leave another in force than you think",
                    f"Write {guess}, if that was meant" if guess else f"Choose one of {', '.join(known)}",
                )
            )


def _is_table(value: object) -> TypeGuard[Table]:
    return isinstance(value, Mapping)


def _of_provider(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """What is known of the provider, where the document does not say it."""
    if values["provider"] is None:
        return values
    provider = PROVIDERS[values["provider"]]
    known = {"reserved": provider.reserved_connections}
    if provider.mode == "none":
        known["max_connections"] = provider.connection_cap
    found = {name: int(fact.value) for name, fact in known.items() if fact is not None and name not in table}
    return values | found


def _missing(place: str, kind: type[Part], name: str) -> Finding:
    field = fields_of(kind)[name]
    return Finding(
        "workload-value-missing",
        Severity.ERROR,
        place,
        f"{name} is not given",
        f"nothing can be planned without it: {field.meaning[0].lower()}{field.meaning[1:-1]}",
        f"Give {field.quantity.needed}",
    )
