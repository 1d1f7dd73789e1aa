"""What a site admin says about one Kubernetes site. Paths of secrets, never secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.provisioners.base import SettingsInvalid as SettingsInvalid

# One account for each kind of thing we do, so that each can be given no more than that; see deploy/kubernetes.
ACCOUNTS = ("provision", "namespaces", "exec", "observe", "logs")


@dataclass(frozen=True, slots=True)
class Reach:
    """How an API server is reached: from inside the cluster, by a kubeconfig's context, or by address and token.

    context "" is the kubeconfig's current one. ca_file "" trusts what the machine trusts.
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
    """Which machines nodes may be on, and of which StorageClass their volumes are; "" is the site's default one.

    priority_class, runtime_class "": none is named. pod_annotations: of every pod, for the site's own controllers.
    """

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    storage_class: str = ""
    priority_class: str = ""
    runtime_class: str = ""
    pod_annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """installation: ours, 16 hexadecimal digits; whoever finds another one on our namespaces stays away.
    identity: of the Kubernetes that is meant; "" is whichever is found.

    accounts: account -> how it reaches the API server; one that is missing uses `provision`. image_prefix goes
    before the name of every image. storage_class "" is the site's default one; shared_storage_class "" means that
    there is no folder shared within a tenant. cpu_burst: CPU limit over CPU request. egress: CIDRs that nodes may
    speak to beside their cluster and DNS. apps: app -> what takes the place of the placement of all others.
    autoscaled: larger machines may come than are there, so nothing is called too large.
    pull_secrets: names of Secrets that somebody keeps in every namespace of a tenant. registry_auth: file of a login to
    registries, which every run is given as a Secret of its own.
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
        """Of the nodes of this app: what was said for it, and for the rest what was said for all."""
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
        """Whether one account does the work of several: right for one machine, said openly by `site check`."""
        return len({self.reach(account) for account in ACCOUNTS}) < len(ACCOUNTS)

    def image(self, name: str) -> str:
        return f"{self.image_prefix}{name}"
