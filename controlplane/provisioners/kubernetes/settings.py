"""The settings of one Kubernetes site, as its admin gives them. They hold paths of secrets, never secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.provisioners.base import SettingsInvalid as SettingsInvalid

# One account for each kind of work, so that each can have the rights of this work only; see deploy/kubernetes.
ACCOUNTS = ("provision", "namespaces", "exec", "observe", "logs")


@dataclass(frozen=True, slots=True)
class Reach:
    """How an API server is reached: from a pod of the cluster, by a kubeconfig's context, or by address and token.

    context "": the current one of the kubeconfig. ca_file "": the authorities that this machine trusts.
    """

    in_cluster: bool = False
    kubeconfig: str = ""
    context: str = ""
    server: str = ""
    ca_file: str = ""
    token_file: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any], name: str) -> "Reach":
        unknown = set(raw) - set(cls.__dataclass_fields__)
        if unknown:
            raise SettingsInvalid(f"{name} has no setting {', '.join(sorted(unknown))}.")
        reach = cls(**raw)
        if sum((reach.in_cluster, bool(reach.kubeconfig), bool(reach.server))) != 1:
            raise SettingsInvalid(f"{name} needs one of in_cluster, kubeconfig or server.")
        if reach.server and not reach.token_file:
            raise SettingsInvalid(f"{name} needs a token_file beside its server.")
        return reach


@dataclass(frozen=True, slots=True)
class Placement:
    """On which machines nodes may run, and which classes their pods and volumes have.

    storage_class "": the default one of the site. priority_class, runtime_class "": none is set. pod_annotations: set
    on every pod, for the site's own controllers.
    """

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    storage_class: str = ""
    priority_class: str = ""
    runtime_class: str = ""
    pod_annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Settings of a site.

    installation: the id of this installation, 16 hexadecimal digits. It is a label of every object, and Slipway never
    changes objects of another installation. identity: of the expected Kubernetes; "" accepts any.
    accounts: account -> how it reaches the API server; an account that is missing uses `provision`.
    image_prefix: precedes the name of every image. storage_class "": the default one of the site.
    shared_storage_class "": tenants have no shared folder. cpu_burst: CPU limit divided by CPU request.
    egress: CIDRs to which nodes may connect, in addition to their cluster and DNS.
    apps: app -> settings of Placement that replace the general ones. autoscaled: the site may add larger machines, so
    that no size is called too large. pull_secrets: names of Secrets that exist in every namespace of a tenant; Slipway
    does not create them. registry_auth: file with a login to registries; every run gets it as a Secret.
    """

    installation: str
    accounts: Mapping[str, Reach]
    identity: str = ""
    image_prefix: str = "localhost/"
    image_pull_policy: str = "IfNotPresent"
    storage_class: str = ""
    shared_storage_class: str = ""
    shared_storage_size: str = "10Gi"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    priority_class: str = ""
    runtime_class: str = ""
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    registry_auth: str = ""
    cluster_domain: str = "cluster.local"
    cpu_burst: int = 4
    egress: tuple[str, ...] = ()
    dns_cidrs: tuple[str, ...] = ()
    apps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    autoscaled: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "SiteSettings":
        """Raises SettingsInvalid."""
        unknown = set(raw) - set(cls.__dataclass_fields__)
        if unknown:
            raise SettingsInvalid(f"A Kubernetes site has no setting {', '.join(sorted(unknown))}.")
        values = dict(raw)
        reaches = values.pop("accounts", {})
        if "provision" not in reaches:
            raise SettingsInvalid("accounts needs at least provision: how the API server is reached.")
        strange = set(reaches) - set(ACCOUNTS)
        if strange:
            raise SettingsInvalid(
                f"There is no account {', '.join(sorted(strange))}; use {', '.join(ACCOUNTS)}."
            )
        for name in ("tolerations", "egress", "dns_cidrs", "pull_secrets"):
            values[name] = tuple(values.get(name, ()))
        for name, placement in values.get("apps", {}).items():
            if strange := set(placement) - set(Placement.__dataclass_fields__):
                raise SettingsInvalid(f"apps.{name} has no setting {', '.join(sorted(strange))}.")
        accounts = {name: Reach.parse(value, f"accounts.{name}") for name, value in reaches.items()}
        return cls(accounts=accounts, **values)

    def reach(self, account: str) -> Reach:
        return self.accounts.get(account, self.accounts["provision"])

    def placement(self, app: str) -> Placement:
        """The placement of the nodes of an app: its own settings, and the general ones for the rest."""
        own = self.apps.get(app, {})
        return Placement(
            node_selector=own.get("node_selector", self.node_selector),
            tolerations=tuple(own.get("tolerations", self.tolerations)),
            storage_class=own.get("storage_class", self.storage_class),
            priority_class=own.get("priority_class", self.priority_class),
            runtime_class=own.get("runtime_class", self.runtime_class),
            pod_annotations=own.get("pod_annotations", self.pod_annotations),
        )

    @property
    def shares_accounts(self) -> bool:
        """Whether one account does the work of several. `site check` reports it."""
        return len({self.reach(account) for account in ACCOUNTS}) < len(ACCOUNTS)

    def image(self, name: str) -> str:
        return f"{self.image_prefix}{name}"
