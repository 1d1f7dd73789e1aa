"""The page that resizes a cluster: the number of nodes of each group, with a preview of what they take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse, QueryDict

from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.models import Cluster
from controlplane.clusters.operations import live_operation
from controlplane.clusters.phases import Verb
from controlplane.clusters.services import cluster_resize, cluster_verb_plan
from controlplane.clusters.services.verbs import VerbRequest, require_possible
from controlplane.console import words
from controlplane.console.calls import Call
from controlplane.console.frame import ConsoleRequest, refusal_text, see_other, show, tenant_view
from templates.schema import Group, Launch
from tenants.access import Access
from tenants.errors import Invalid, QuotaExceeded

LONGEST: Final = 9
DRAIN_SECONDS: Final = 60


@dataclass(slots=True)
class Field:
    """The count of a group in the form. most: the largest count. value: as sent. error: "" if it is valid."""

    group: Group
    title: str
    most: int
    value: str
    error: str = ""


@tenant_view(methods=("GET", "HEAD", "POST"), back="console:cluster", verb="cluster.resize")
def resize(request: ConsoleRequest, access: Access, cluster: str) -> HttpResponse:
    found = cluster_for(access, cluster)
    operate(access, found)
    require_possible(access, found, live_operation(found), Verb.RESIZE)
    launch = found.launch
    form = Form(launch, request.POST if request.method == "POST" else QueryDict())
    if request.method == "POST" and form.is_complete():
        answer = _preview_or_resize(request, access, found, form)
        if answer is not None:
            return answer
    path = f"/tenants/{access.tenant.name}/clusters/{found.name}:resize"
    body = {"groups": {field.group.name: {"count": field.group.count} for field in form.fields}}
    return show(
        request,
        "resize",
        {"cluster": found, "form": form},
        access=access,
        calls=[Call("Resize it", path, method="POST", body=body)],
        status=400 if form.has_errors else 200,
    )


def _preview_or_resize(
    request: ConsoleRequest, access: Access, found: Cluster, form: "Form"
) -> HttpResponse | None:
    """The answer after a resize; None to show the form again, with the plan or with the errors."""
    try:
        if "preview" in request.POST:
            wanted = VerbRequest(Verb.RESIZE, groups=form.changes())
            form.plan = cluster_verb_plan(access=access, cluster=str(found.id), request=wanted)["plan"]
            return None
        cluster_resize(
            access=access, cluster=str(found.id), groups=form.changes(), drain_seconds=DRAIN_SECONDS
        )
    except Invalid as refusal:
        form.add_errors(refusal)
        return None
    except QuotaExceeded as refusal:
        form.refusal = refusal_text(refusal)
        return None
    messages.success(request, words.CLUSTER_RESIZING.format(found.name))
    return see_other("console:cluster", tenant=access.tenant.name, cluster=found.name)


class Form:
    """The form of a resize. fields: of the groups whose count can change."""

    def __init__(self, launch: Launch, sent: QueryDict) -> None:
        fields = [_field(launch, group, sent) for group in launch.groups]
        self.fields = [field for field in fields if field.group.min_count < field.most]
        self.plan: Mapping[str, Any] | None = None
        self.refusal = ""
        self.error = ""

    @property
    def has_errors(self) -> bool:
        return bool(self.error or self.refusal or any(field.error for field in self.fields))

    @property
    def fits(self) -> bool:
        """Whether the previewed plan fits the limits."""
        return self.plan is None or bool(self.plan["fits"])

    def is_complete(self) -> bool:
        """Whether all values are numbers and one of them is new; sets the errors."""
        for field in self.fields:
            if not (field.value.isascii() and field.value.isdigit() and len(field.value) <= LONGEST):
                field.error = words.NOT_A_WHOLE_NUMBER
        if not self.has_errors and not self.changes():
            self.error = words.NO_NEW_COUNT
        return not self.has_errors

    def changes(self) -> dict[str, dict[str, int]]:
        """The new counts as "groups" of the API. All values must be numbers."""
        return {
            field.group.name: {"count": int(field.value)}
            for field in self.fields
            if int(field.value) != field.group.count
        }

    def add_errors(self, refusal: Invalid) -> None:
        """Shows each error at the field that its pointer names, and all others above the form."""
        for error in refusal.errors:
            named = [f for f in self.fields if error["pointer"].startswith(f"/groups/{f.group.name}/")]
            if named:
                named[0].error = error["detail"]
            else:
                self.error = error["detail"]


def _field(launch: Launch, group: Group, sent: QueryDict) -> Field:
    role = launch.app.role(group.role)
    return Field(
        group=group,
        title=role.title,
        most=min(group.max_count, role.max_count),
        value=sent.get(f"count-{group.name}", str(group.count)).strip(),
    )
