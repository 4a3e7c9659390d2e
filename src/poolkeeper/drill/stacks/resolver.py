"""Names of a zone of our own are looked up in a file, so that a drill can take them away.

The name server of a machine is nobody's to break. A name of the zone is what the file says, line by line as in
/etc/hosts, and fails as with a name server that does not answer where it says nothing; any other is asked for as ever.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "DRILL_HOSTS"
# Reserved by RFC 6761: no name server knows any.
ZONE = ".drill.invalid"


def install(environment: Mapping[str, str]) -> None:
    """For this process, where DRILL_HOSTS names a file."""
    if VARIABLE not in environment:
        return
    hosts, ask = Path(environment[VARIABLE]), socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.endswith(ZONE):
            host = _address(hosts, name)
        return ask(host, *arguments, **options)

    socket.getaddrinfo = getaddrinfo


def _address(hosts: Path, name: str) -> str:
    """Raises socket.gaierror as for a name server that does not answer."""
    lines = hosts.read_text().splitlines() if hosts.exists() else []
    for address, _, names in (line.partition(" ") for line in lines):
        if name in names.split():
            return address
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
