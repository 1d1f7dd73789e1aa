"""Registers the tiny test engine with a running Slipway; its nodes are real processes that start at once.

Run this file as a program in the environment of a process of that Slipway.
"""

from typing import Any

HOOK_READY = '#!/bin/sh\ntest -e "$SLIPWAY_DIR_WORK/up"\n'
HOOK_DRAIN = '#!/bin/sh\necho \'{"tasks_start": 0, "tasks_end": 0}\'\n'
HOOK_BUSY = "#!/bin/sh\necho '{\"tasks\": 0}'\nexit 1\n"
COMMAND = ["/bin/sh", "-c", "touch {dir.work}/up; echo {node} is up; exec sleep 100000"]

ENGINE: dict[str, Any] = {
    "format": 1,
    "name": "sleeper",
    "version": "1.0",
    "title": "Sleeper",
    "description": "Does nothing, for real.",
    "runtimes": {"plain": {}},
    "assets": [
        {"path": "hooks/ready", "content": HOOK_READY, "executable": True},
        {"path": "hooks/drain", "content": HOOK_DRAIN, "executable": True},
        {"path": "hooks/busy", "content": HOOK_BUSY, "executable": True},
    ],
    "roles": {
        "head": {
            "title": "Head",
            "runtime": "plain",
            "critical": True,
            "command": COMMAND,
            # The command ignores SIGTERM when it is the first process of a container, so SIGKILL follows soon.
            "stop_seconds": 1,
            "minimum": {"cpu": "100m", "memory": "64Mi"},
            "default": {"cpu": "100m", "memory": "64Mi"},
            "hooks": {"ready": "hooks/ready"},
        },
        "hand": {
            "title": "Hand",
            "runtime": "plain",
            "min_count": 1,
            "max_count": 64,
            "command": COMMAND,
            # The command ignores SIGTERM when it is the first process of a container, so SIGKILL follows soon.
            "stop_seconds": 1,
            "minimum": {"cpu": "100m", "memory": "64Mi"},
            "default": {"cpu": "100m", "memory": "64Mi"},
            "hooks": {"ready": "hooks/ready", "drain": "hooks/drain", "busy": "hooks/busy"},
        },
    },
}

TEMPLATE: dict[str, Any] = {
    "app": {"name": "sleeper", "version": "1.0"},
    "groups": [
        {"name": "head", "role": "head", "count": 1},
        {"name": "hand", "role": "hand", "count": 2},
    ],
}


def register() -> None:
    from templates.parsing import parse_app
    from templates.services import app_register
    from tenants.actors import system_actor

    app_register(actor=system_actor(), app=parse_app(ENGINE))


if __name__ == "__main__":
    import django

    django.setup()
    register()
