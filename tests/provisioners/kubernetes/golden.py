"""python -m tests.provisioners.kubernetes.golden: write golden.json again.

A changed golden.json means that this release creates other objects than the last one for the same cluster. Running
pods keep the objects of the older release, so both must work side by side.
"""

import json
from pathlib import Path
from typing import Any

from templates.schema import App, Asset, File, Hooks, Role, Runtime, Service
from tenants.amounts import Amounts
from tests.provisioners.kubernetes.rendered import Body, objects, whole

FILE = Path(__file__).with_name("golden.json")
VARYING = {"status", "uid", "resourceVersion", "creationTimestamp", "slipway/applied-at"}

APP = App(
    name="tiny",
    version="1",
    title="Tiny",
    description="",
    roles=(
        Role(
            name="server",
            title="Server",
            runtime="plain",
            command=("{dir.app}/bin/serve", "{address}", "{port.page}", "$(not) $$ ours"),
            default=Amounts(cpu=500, memory=2**30),
            ports={"page": 8080, "rpc": 7077},
            env={"KEY": "{secret.key}", "PEERS": "{peers.server.rpc}"},
            files=(File("etc/key", "{secret.key}\n"), File("server.conf", "heap {heap_mib}\n")),
            services=(Service("page", "page", scheme="http"),),
            hooks=Hooks(ready="hooks/ready", busy="hooks/busy", drain="hooks/drain"),
        ),
    ),
    runtimes=(Runtime("plain", java=17),),
    secrets=("key",),
    assets=(Asset("bin/serve", "#!/bin/sh\n", executable=True), Asset("notes", "text\n")),
)


def golden() -> list[Body]:
    """Returns the sorted objects, without fields that the API server adds or that differ between two runs."""
    found: list[Body] = [_without(body) for body in objects(whole(APP, storage=2**30))]
    return sorted(found, key=lambda body: (body["kind"], body["metadata"]["name"]))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in VARYING}
    return [_without(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden(), indent=1, sort_keys=True) + "\n")
