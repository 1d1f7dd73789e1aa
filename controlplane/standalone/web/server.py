"""The command line of the web server, and its limit of open files."""

import resource
from typing import Final

from controlplane.standalone.installation.environment import python
from controlplane.standalone.web.ports import HOST

# Seconds for the head of a request, and for an idle connection between two requests.
HEADER_SECONDS: Final = 10
# Open connections. Each costs one file descriptor and, when idle, some kilobytes.
CONNECTIONS: Final = 8192
# File descriptors for everything else.
OTHER_FILES: Final = 512


def web_command(
    port: int,
    *,
    application: str = "controlplane.standalone.web.application:application",
    header_seconds: int = HEADER_SECONDS,
) -> list[str]:
    options = {
        "--interface": "asgi",
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
        "--http": "1",
        "--loop": "asyncio",
        "--backlog": "1024",
        # It counts connections, not requests. At the limit no more are accepted.
        "--backpressure": str(connections()),
        "--http1-header-read-timeout": str(header_seconds * 1000),
        "--workers-kill-timeout": "5",
        "--log-level": "warning",
    }
    flags = [part for option in options.items() for part in option]
    return python("-m", "granian", *flags, "--no-ws", application)


def raise_file_limit() -> None:
    """Raise the soft limit of open files to what all connections need, or to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


def connections() -> int:
    """Returns how many connections may be open: fewer than CONNECTIONS when the hard limit of open files is low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(64, min(CONNECTIONS, hard - OTHER_FILES))
