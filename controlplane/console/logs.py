"""The page with the end of a node's log."""

import re
from typing import Final

from django.http import HttpResponse

from controlplane.clusters.access import cluster_for, read_logs
from controlplane.console.calls import Call
from controlplane.console.frame import ConsoleRequest, show, tenant_view
from controlplane.inspection.logs import tail
from tenants.access import Access
from tenants.errors import NotFound

CHOICES: Final = (200, 1000, 5000)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@tenant_view(verb="node.logs")
def log(request: ConsoleRequest, access: Access, cluster: str, node: str) -> HttpResponse:
    found = cluster_for(access, cluster)
    read_logs(access, found)
    if not node.isprintable():
        raise NotFound
    lines = next((choice for choice in CHOICES if request.GET.get("lines") == str(choice)), CHOICES[0])
    text = readable(tail(found, node, lines))
    path = f"/tenants/{access.tenant.name}/clusters/{found.id}/nodes/{node}/logs"
    context = {"cluster": found, "node": node, "text": text, "lines": lines, "choices": CHOICES}
    calls = [Call("This log", f"{path}?tail={lines}"), Call("Follow it", f"{path}?tail={lines}&follow=true")]
    return show(request, "log", context, access=access, calls=calls)


def readable(raw: bytes) -> str:
    """The log as text, without terminal colours and control characters. An overwritten line shows its last state."""
    text = _COLOURS.sub("", raw.decode("utf-8", "replace")).replace("\r\n", "\n")
    text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return _INVISIBLE.sub("", text)
