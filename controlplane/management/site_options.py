"""The options of `site add`, and the settings of a site that they make."""

import argparse
import ipaddress
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from controlplane.provisioners.kubernetes.client import reach
from controlplane.provisioners.kubernetes.objects.registry_secret import is_login
from controlplane.provisioners.kubernetes.settings import ACCOUNTS, SettingsInvalid
from tenants.amounts import parse
from tenants.errors import Invalid

# Setting -> help of the option with the same name, whose value is taken as it is.
PLAIN = {
    "image_prefix": "put before the name of every image, such as registry.example/slipway/",
    "image_pull_policy": "Always, IfNotPresent or Never",
    "shared_storage_class": "storage class of the folder that all clusters of a tenant share (default: no such folder)",
    "shared_storage_size": "size of the shared folder, such as 10Gi",
    "cluster_domain": "DNS domain of services, usually cluster.local",
}
# Where nodes run, for all apps or for one: option -> setting, metavar, help.
PLACED = {
    "--node-selector": ("node_selector", "LABEL=VALUE", "label of the machines that nodes may run on"),
    "--toleration": ("tolerations", "KEY[=VALUE][:EFFECT]", "toleration of a taint of those machines"),
    "--storage-class": (
        "storage_class",
        "NAME",
        "storage class of the volumes of nodes (default: the one of the site)",
    ),
    "--priority-class": ("priority_class", "NAME", "priority class of the pods of nodes"),
    "--runtime-class": ("runtime_class", "NAME", "runtime class of the pods of nodes, such as gvisor"),
    "--pod-annotation": (
        "pod_annotations",
        "KEY=VALUE",
        "annotation of the pods of nodes, such as cluster-autoscaler.kubernetes.io/safe-to-evict=false",
    ),
}
PULLS = ("Always", "IfNotPresent", "Never")
MOST_BURST = 64
ANNOTATION = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
OURS = "slipway/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_argument_group("how to reach its API server (one of the three)")
    way = ways.add_mutually_exclusive_group(required=True)
    way.add_argument("--kubeconfig", metavar="FILE")
    way.add_argument("--server", metavar="URL")
    way.add_argument(
        "--in-cluster", action="store_true", help="use the account of the pod that this command runs in"
    )
    ways.add_argument(
        "--context",
        default="",
        help="context of the kubeconfig (default: the current one, stored by its name)",
    )
    ways.add_argument("--token-file", metavar="FILE", help="with --server; only the path is stored")
    ways.add_argument("--ca-file", metavar="FILE", default="", help="with --server")
    ways.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME=WHERE",
        help=f"a separate account for {', '.join(ACCOUNTS[1:])}: a context of the kubeconfig, or the file of a token; "
        "work without a separate account uses the first one",
    )
    given = parser.add_argument_group("what clusters get on this site")
    for setting, words in PLAIN.items():
        given.add_argument(f"--{setting.replace('_', '-')}", default="", help=words)
    given.add_argument("--cpu-burst", type=int, help="CPU limit of a node as a multiple of its claim (4)")
    given.add_argument(
        "--autoscaled",
        action="store_true",
        help="an autoscaler may add larger machines: no node is refused as too large",
    )
    given.add_argument(
        "--egress", action="append", default=[], metavar="CIDR", help="network that nodes may connect to"
    )
    given.add_argument(
        "--dns", action="append", default=[], metavar="CIDR", help="network of a DNS server on each node"
    )
    given.add_argument(
        "--registry-auth",
        metavar="FILE",
        default="",
        help="login to private registries, as docker writes it (config.json with auths); only the path is stored, and "
        "every run gets a Secret with its content",
    )
    given.add_argument(
        "--pull-secret",
        action="append",
        default=[],
        metavar="NAME",
        help="a Secret that exists in every namespace of a tenant, in addition to --registry-auth or instead of it",
    )
    _add_placement(parser)


def _add_placement(parser: argparse.ArgumentParser) -> None:
    placement = parser.add_argument_group(
        "where nodes run", "After --app NAME they apply to that app only, and replace those for all apps."
    )
    for option, (setting, metavar, words) in PLACED.items():
        placement.add_argument(
            option, action=_Placed, dest=setting, default=argparse.SUPPRESS, metavar=metavar, help=words
        )
    placement.add_argument("--app", action="append", default=[], metavar="NAME")
    parser.set_defaults(placed=())


class _Placed(argparse.Action):
    """Collects (app or "", setting, text) in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        app = namespace.app[-1] if namespace.app else ""
        namespace.placed = (*namespace.placed, (app, self.dest, values))


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the given settings as SiteSettings.parse reads them, without the installation. Raises SettingsInvalid."""
    settings: dict[str, Any] = {"accounts": _accounts(options)}
    settings |= {name: options[name] for name in PLAIN if options[name]}
    settings |= _placement(options["placed"], "")
    settings |= {
        name: value
        for name, value in (
            ("apps", {app: _placement(options["placed"], app) for app in options["app"]}),
            ("egress", _networks(options["egress"])),
            ("dns_cidrs", _networks(options["dns"])),
            ("pull_secrets", options["pull_secret"]),
            ("registry_auth", _login(options["registry_auth"])),
        )
        if value
    }
    if options["autoscaled"]:
        settings["autoscaled"] = True
    if options["cpu_burst"] is not None:
        settings["cpu_burst"] = options["cpu_burst"]
    _hold_bounds(settings)
    return settings


def _placement(placed: Iterable[tuple[str, str, str]], app: str) -> dict[str, Any]:
    """Returns the placement settings of this app, or of all apps for ""."""
    found: dict[str, Any] = {}
    for setting, text in ((setting, text) for whose, setting, text in placed if whose == app):
        match setting:
            case "node_selector":
                label, value = _pair(text, "--node-selector")
                found.setdefault(setting, {})[label] = value
            case "pod_annotations":
                key, value = _pair(text, "--pod-annotation")
                found.setdefault(setting, {})[_annotation(key)] = value
            case "tolerations":
                found.setdefault(setting, []).append(_toleration(text))
            case _:
                found[setting] = text
    if app and not found:
        raise SettingsInvalid(f"Put at least one of these options after --app {app}: {', '.join(PLACED)}.")
    return found


def _hold_bounds(settings: dict[str, Any]) -> None:
    if settings.get("image_pull_policy", PULLS[0]) not in PULLS:
        raise SettingsInvalid(f"--image-pull-policy is one of {', '.join(PULLS)}.")
    if not 1 <= settings.get("cpu_burst", 1) <= MOST_BURST:
        raise SettingsInvalid(f"--cpu-burst is a number from 1 to {MOST_BURST}.")
    try:
        parse("storage", settings.get("shared_storage_size", "1Gi"))
    except Invalid as error:
        raise SettingsInvalid(f"--shared-storage-size: {error.detail}") from error


def _accounts(options: dict[str, Any]) -> dict[str, reach.Reached]:
    accounts = {"provision": _reached(options, "")}
    for text in options["account"]:
        name, where = _pair(text, "--account")
        if name not in ACCOUNTS[1:]:
            raise SettingsInvalid(f"There is no account {name}; use {', '.join(ACCOUNTS[1:])}.")
        accounts[name] = _reached(options, where)
    return accounts


def _reached(options: dict[str, Any], where: str) -> reach.Reached:
    """Returns how an account reaches the API server. where: a context or a token file; "" for the first account."""
    if options["kubeconfig"]:
        return reach.by_kubeconfig(options["kubeconfig"], where or options["context"])
    if options["in_cluster"]:
        return reach.in_cluster(where)
    token = where or options["token_file"]
    if not token:
        raise SettingsInvalid("--server needs --token-file.")
    return reach.by_address(options["server"], token, options["ca_file"])


def _pair(text: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not name or not found or not value:
        raise SettingsInvalid(f"{option} {text}: write it as NAME=VALUE.")
    return name, value


def _annotation(key: str) -> str:
    if not ANNOTATION.fullmatch(key) or key.startswith(OURS):
        raise SettingsInvalid(
            f"--pod-annotation {key}: not a valid key of an annotation, or one of Slipway's own."
        )
    return key


def _login(file: str) -> str:
    """Returns the absolute path of the file, or ""."""
    if not file:
        return ""
    path = reach.readable(file)
    if not is_login(Path(path).read_bytes()):
        raise SettingsInvalid(
            f"{path} has no login to a registry: it needs auths, as `docker login` writes them."
        )
    return path


def _toleration(text: str) -> dict[str, str]:
    taint, _, effect = text.partition(":")
    key, valued, value = taint.partition("=")
    if not key or effect not in {"", "NoSchedule", "PreferNoSchedule", "NoExecute"}:
        raise SettingsInvalid(f"--toleration {text}: write it as KEY, KEY=VALUE or KEY=VALUE:NoSchedule.")
    how = {"operator": "Equal", "value": value} if valued else {"operator": "Exists"}
    return {"key": key, **how, **({"effect": effect} if effect else {})}


def _networks(texts: Iterable[str]) -> list[str]:
    try:
        return [str(ipaddress.ip_network(text)) for text in texts]
    except ValueError as error:
        raise SettingsInvalid(f"{error}: write a network as 10.0.0.0/8.") from error
