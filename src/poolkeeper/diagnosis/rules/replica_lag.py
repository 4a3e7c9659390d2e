"""Replicas that are behind, that cannot be reached, or that cancel what is read from them."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.diagnosis.words import fit
from poolkeeper.model import Confidence, Finding, ReplicaView, Severity, Standing

_NOT_REPLAYING = (
    "Look at what it replays: pg_wal_replay_pause(), a long query with max_standby_streaming_delay, its disk; "
    "SHOW REPLICA STATUS on MariaDB and MySQL"
)


def check(case: Case) -> Iterator[Finding]:
    for replica in case.replicas:
        yield from _examine(replica)


def _examine(replica: ReplicaView) -> Iterator[Finding]:
    match replica.standing:
        case Standing.LAGGING:
            yield _finding(
                replica, "replica-lag", _behind(replica), "what is read there is of another moment", _NOT_REPLAYING
            )
        case Standing.UNREACHABLE:
            yield _finding(
                replica,
                "replica-unreachable",
                replica.problem or "it does not answer",
                "its reads go elsewhere, and come back when it answers",
                "Look at its host; a replica that is gone for good belongs out of replica_urls",
            )
        case Standing.NOT_A_REPLICA if replica.is_primary:
            yield _finding(
                replica,
                "replica-promoted",
                "it was promoted, and gets the writes",
                "the settings name another host as the primary, and processes that start have to find this one",
                "Make it the URL, and give the hosts that follow it as replicas",
            )
        case Standing.NOT_A_REPLICA:
            yield _finding(
                replica,
                "replica-promoted",
                "it says that it follows nobody",
                "what is read there may never have been on the primary",
                "Find out which host is the primary, and make the others follow it",
            )
        case _:
            if replica.conflicts:
                yield _finding(
                    replica,
                    "replica-conflicts",
                    f"it has cancelled {replica.conflicts} reads in order to replay; the primary did them again",
                    "long reads and vacuum on the primary are in each other's way",
                    "Set hot_standby_feedback = on there, or raise max_standby_streaming_delay",
                    Severity.INFO,
                )


def _finding(
    replica: ReplicaView, code: str, seen: str, why: str, fix: str, severity: Severity = Severity.WARNING
) -> Finding:
    figures: dict[str, float | str] = {"conflicts": replica.conflicts, "moved": replica.moved}
    if replica.lag is not None:
        figures["lag"] = round(replica.lag, 3)
    if replica.lag_bytes is not None:
        figures["lag_bytes"] = replica.lag_bytes
    return Finding(
        code,
        severity,
        replica.name,
        fit(f"{replica.name}: {seen}"),
        why,
        fix,
        confidence=Confidence.CERTAIN,
        figures=figures,
    )


def _behind(replica: ReplicaView) -> str:
    known = [] if replica.lag is None else [f"{replica.lag:.1f} s"]
    known += [] if replica.lag_bytes is None else [f"{replica.lag_bytes} bytes"]
    return f"it is {' and '.join(known) or 'an unknown time'} behind, and gets no reads"
