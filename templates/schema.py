"""The data classes of apps, templates and launches. All of them are frozen and know no database.

`templates.parsing` and `templates.revision` read and check them once, on input; all other code trusts them.

These placeholders can be used in commands, environment values and file contents; there is no other substitution:

    {node} {cluster} {index}          names of this node and its cluster; the node's number in its group
    {restart}                         changes when the whole cluster is restarted, and only then
    {address} {port.NAME}             where this node listens
    {dir.home}                        a folder that survives stops: the owner's notebooks and data
    {dir.work}                        a scratch folder of this attempt at the node
    {dir.shared}                      one folder for all clusters of the tenant
    {dir.conf}                        the folder of this role's rendered files
    {dir.app}                         the folder of the app's assets (hooks, scripts)
    {memory_mib} {heap_mib} {cores}   whole numbers; heap is memory less the role's overhead, cores at least 1
    {secret.NAME}                     a secret derived for this run, 64 hexadecimal digits
    {setting.NAME}                    a setting of the app, as the launch has it
    {first.ROLE.address} {first.ROLE.port.NAME}    the first node of a role
    {peers.ROLE.NAME}                 host:port of every node of a role, by comma, for port NAME
    {runtime.python} {runtime.java} {runtime.home} interpreter, JAVA_HOME and root of the role's runtime
    {packages.python} {packages.home} the same for code of the cluster's users, with the packages that they install

A literal brace is doubled. A placeholder of a role without nodes in the launch is replaced by an empty text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tenants.amounts import Amounts

# The most nodes that a role, and so a group, can have.
NODES_AT_MOST: Final = 1000


class OnChange(StrEnum):
    """What happens to a running node when the content of one of its files changes.

    ignore: nothing. reread: the node reads the file again by itself. signal: it gets a signal. restart: it restarts.
    """

    IGNORE = "ignore"
    REREAD = "reread"
    SIGNAL = "signal"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that a role offers on one of its ports.

    scheme: "http" or "tcp". path: of the page, "" for none. dashboard: users open the page in a browser. token: the
    name of the secret that opens the page, or "". metrics: paths that Prometheus can scrape. on_demand: the port is not
    always open, so the service is listed only while it answers.
    """

    name: str
    port: str
    scheme: str = "tcp"
    path: str = ""
    dashboard: bool = False
    token: str = ""
    metrics: tuple[str, ...] = ()
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A file that is rendered on every node of a role. path: below {dir.conf}."""

    path: str
    content: str
    on_change: OnChange = OnChange.IGNORE


@dataclass(frozen=True, slots=True)
class Hooks:
    """Executable assets of the app that Slipway runs on a node. "": the role has none.

    Each answers by its exit code and one line of JSON. ready: 0 when the node can do work. busy: 0 while it works, 1
    while it is idle; {"tasks": n, "executors": n}. drain: moves the work away and returns when that is done, at the
    latest after SLIPWAY_DRAIN_SECONDS; {"tasks_start", "tasks_end", "executors_start", "executors_end",
    "blocks_moved"}, null where unknown. info: {"version": …} and other facts for people.
    """

    ready: str = ""
    busy: str = ""
    drain: str = ""
    info: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of node in an app.

    critical: the cluster cannot work without it. when: the boolean setting that turns the role on, "" for always.
    minimum, default: what one node takes. overhead: bytes of memory that are not heap. stop_seconds: how long a node
    may take to end after its signal.
    """

    name: str
    title: str
    runtime: str
    command: tuple[str, ...]
    min_count: int = 1
    max_count: int = 1
    critical: bool = False
    when: str = ""
    minimum: Amounts = field(default_factory=Amounts)
    default: Amounts = field(default_factory=Amounts)
    overhead: int = 0
    ports: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    services: tuple[Service, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)
    stop_seconds: int = 10


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a role needs to run: packages and Java on the local site, an image on Kubernetes.

    python: requirements. java: the major version, 0 for none. prepare: the path of an executable asset that completes
    the installation, or "". image: "" for the name that `templates.images` derives.
    """

    name: str
    python: tuple[str, ...] = ()
    java: int = 0
    prepare: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the app that its nodes can read. path: below {dir.app}."""

    path: str
    content: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """A versioned distribution. Once registered it never changes.

    settings: the JSON Schema of each setting by its name, each with a default. secrets: the names of the secrets that
    a run gets. digest: of the stored body, "" before registration; apps are equal whatever their digests.
    """

    name: str
    version: str
    title: str
    description: str
    roles: tuple[Role, ...]
    runtimes: tuple[Runtime, ...]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    assets: tuple[Asset, ...] = ()
    digest: str = field(default="", compare=False)

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    @property
    def page_secrets(self) -> frozenset[str]:
        """The names of the secrets that open pages in a browser and are part of their links."""
        services = (service for role in self.roles for service in role.services)
        return frozenset(service.token for service in services if service.scheme == "http" and service.token)

    def role(self, name: str) -> Role:
        return next(role for role in self.roles if role.name == name)

    def runtime(self, name: str) -> Runtime:
        return next(runtime for runtime in self.runtimes if runtime.name == name)


@dataclass(frozen=True, slots=True)
class Group:
    """`count` nodes of one role and one size.

    each: what one node takes; storage is its volume, clusters is 0. min_count, max_count: the bounds of a resize. The
    bounds of the role hold too.
    """

    name: str
    role: str
    count: int
    each: Amounts
    min_count: int = 0
    max_count: int = NODES_AT_MOST


@dataclass(frozen=True, slots=True)
class Launch:
    """A template expanded for one cluster: everything that a provisioner needs, with the whole App."""

    app: App
    groups: tuple[Group, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes(self) -> Amounts:
        """What the running cluster holds: its nodes, and one cluster."""
        nodes = sum((group.each * group.count for group in self.groups), start=Amounts())
        return nodes + Amounts(clusters=1)

    @property
    def keeps(self) -> Amounts:
        """What the stopped cluster holds: its volumes, and one cluster."""
        return Amounts(storage=self.takes.storage, clusters=1)

    def group(self, name: str) -> Group:
        return next(group for group in self.groups if group.name == name)


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group of a template: the defaults of a launch and the bounds of a request.

    each: what one node takes by default. least: the lower bounds, never below the role's minimum. most: the upper
    bounds by resource; a resource that is not in it has none.
    """

    name: str
    role: str
    count: int
    each: Amounts
    min_count: int
    max_count: int
    least: Amounts
    most: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What a user requests, as raw JSON. `launch.expand` checks it and refuses it with JSON pointers.

    groups: {name: {"count", "cpu", "memory", "gpu", "storage"}}, each optional; amounts are quantities. preset: ""
    for none.
    """

    groups: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """One revision of a template, with its app.

    parameters: the schema of every setting of the app by its name, as the template narrows or locks it. presets: named
    requests, each without a preset.
    """

    app: App
    groups: tuple[GroupSpec, ...]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    presets: Mapping[str, LaunchRequest] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    quick_launch: bool = False
