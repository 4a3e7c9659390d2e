"""Findings and holders as plain text, for error messages, logs and terminals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from poolkeeper.diagnosis.words import awaited_by, cut, duration
from poolkeeper.model import Finding, Holder, PoolSnapshot

_WIDTH = 110
_MOST_HOLDERS = 20
_COLUMN_LENGTH = 60
_DOING_LENGTH = 90
_HEADINGS = ("AGE", "STATE", "WHO", "CHECKED OUT AT", "DOING")


def in_short(findings: Sequence[Finding]) -> str:
    """The first finding on one line and its fix on a second; empty without findings."""
    if not findings:
        return ""
    first = findings[0]
    sure = f" ({first.confidence})" if first.confidence else ""
    return f"{first.code}{sure}: {first.seen}.\n{first.fix}."


def in_full(snapshot: PoolSnapshot, findings: Iterable[Finding]) -> str:
    """The pool's numbers, its holders as a table, and each finding in full."""
    parts = [_numbers(snapshot), _table(snapshot.holders), *(_paragraph(finding) for finding in findings)]
    return "\n\n".join(part for part in parts if part)


def _numbers(snapshot: PoolSnapshot) -> str:
    limit = "" if snapshot.capacity is None else f" of {snapshot.capacity}"
    waiting = "" if "waiting" in snapshot.unknown else f", {snapshot.waiting} waiting"
    since = f" for up to {duration(snapshot.oldest_waiter)}" if snapshot.oldest_waiter and waiting else ""
    connecting = f", {snapshot.connecting} connecting" if snapshot.connecting else ""
    return f"pool {snapshot.name}: {snapshot.in_use}{limit} in use, {snapshot.idle} idle{connecting}{waiting}{since}"


def _table(holders: Sequence[Holder]) -> str:
    if not holders:
        return ""
    rows = [_HEADINGS, *(_row(holder) for holder in holders[:_MOST_HOLDERS])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(holders) > _MOST_HOLDERS:
        lines.append(f"and {len(holders) - _MOST_HOLDERS} more")
    return "\n".join(lines)


def _row(holder: Holder) -> tuple[str, ...]:
    return (
        duration(holder.seconds),
        _state(holder),
        cut(holder.route or holder.task, _COLUMN_LENGTH),
        cut(holder.site or "?", _COLUMN_LENGTH),
        cut(_doing(holder), _DOING_LENGTH),
    )


def _state(holder: Holder) -> str:
    if holder.finished:
        return "task ended"
    if holder.waits_at is not None:
        return "waits for another"
    if holder.in_sql is None:
        return "?"
    since = "" if holder.state_seconds is None else f" {duration(holder.state_seconds)}"
    open_transaction = ", in transaction" if holder.in_transaction and not holder.in_sql else ""
    return f"{'in SQL' if holder.in_sql else 'in a gap'}{since}{open_transaction}"


def _doing(holder: Holder) -> str:
    if holder.waits_at is not None:
        return f"waits at {holder.waits_at}"
    awaited = None if holder.in_sql or holder.finished else awaited_by(holder)
    return f"awaits {awaited}" if awaited else holder.statement or "no statement yet"


def _paragraph(finding: Finding) -> str:
    sure = f", {finding.confidence}" if finding.confidence else ""
    head = f"{finding.severity}: {finding.code} ({finding.subject}){sure}"
    return "\n".join((head, *_lines(finding)))


def _lines(finding: Finding) -> Iterator[str]:
    told = [("seen", finding.seen), ("why", finding.why), ("fix", finding.fix), ("not seen", "; ".join(finding.unseen))]
    for label, text in told:
        if text:
            yield textwrap.fill(text, _WIDTH, initial_indent=f"  {label + ':':<10}", subsequent_indent=" " * 12)
