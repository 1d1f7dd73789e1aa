"""Finds the admission webhooks that may make a write slow."""

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AdmissionSlow
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body

MOST = 5
SECONDS = 10


def named(client: Client, slow: AdmissionSlow) -> AdmissionSlow:
    """The same error with the names of the webhooks. It is unchanged when the account may not list webhooks."""
    try:
        bodies = [body for path in paths.webhooks() for body in client.list(path).items]
    except (Temporary, Permanent):
        return slow
    found = [hook for body in bodies for hook in body.get("webhooks") or () if _matches(hook, slow)]
    # The slowest first.
    found.sort(key=lambda hook: -int(hook.get("timeoutSeconds") or SECONDS))
    return AdmissionSlow(slow.what, slow.resource, slow.seconds, ", ".join(map(_described, found[:MOST])))


def _matches(hook: Body, slow: AdmissionSlow) -> bool:
    """Whether the rules of the webhook match. Its namespace and object selectors are not compared."""
    group, resource = slow.resource
    return any(
        {"*", group} & set(rule.get("apiGroups") or ())
        and {"*", "*/*", resource} & set(rule.get("resources") or ())
        and {"*", slow.operation} & set(rule.get("operations") or ())
        for rule in hook.get("rules") or ()
    )


def _described(hook: Body) -> str:
    seconds = hook.get("timeoutSeconds") or SECONDS
    return f"{hook.get('name')} (up to {seconds} s, then {hook.get('failurePolicy') or 'Fail'})"
