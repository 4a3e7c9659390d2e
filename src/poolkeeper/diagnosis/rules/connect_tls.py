"""The connection cannot be encrypted as wanted."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.model import Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "tls":
        yield trouble.finding(
            "connect-tls",
            "TLS is off on one side, or the certificate is not trusted or expired",
            "Compare the URL's ssl options with the server's; check the certificate's date, host name and authority",
        )
