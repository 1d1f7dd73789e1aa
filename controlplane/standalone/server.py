"""The command line of the web server."""

from typing import Final

from controlplane.standalone.environment import python
from controlplane.standalone.ports import HOST

# Also for a connection that is kept and idle between two requests.
HEADER_SECONDS: Final = 10
# Connections open at a time; each costs some kilobytes and one file descriptor.
CONNECTIONS: Final = 8192


def web_command(port: int, *, application: str = "controlplane.standalone.web:application") -> list[str]:
    options = {
        "--interface": "asgi",
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
        "--http": "1",
        "--loop": "asyncio",
        "--backlog": "1024",
        # Counts connections, not requests: at the limit no more are accepted.
        "--backpressure": str(CONNECTIONS),
        "--http1-header-read-timeout": str(HEADER_SECONDS * 1000),
        "--workers-kill-timeout": "5",
        "--log-level": "warning",
    }
    flags = [part for option in options.items() for part in option]
    return python("-m", "granian", *flags, "--no-ws", application)
