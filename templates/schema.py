"""The shapes of the catalogue: an App is data, and a Launch is a template expanded for one cluster.

Everything here is frozen and knows no database. `templates.parsing` reads these shapes from JSON or YAML
once, at the door; from there on they are trusted.

Placeholders, the only substitution there is, may stand in commands, environment values and file contents:

    {node} {cluster} {index}          names of this node and its cluster; the node's number in its group
    {restart}                         changes with each restart of the whole cluster, and with no other
    {address} {port.NAME}             where this node listens
    {dir.home}                        kept from start to start: a person's notebooks and data
    {dir.work}                        scratch of this incarnation
    {dir.shared}                      one folder for all clusters of the tenant
    {dir.conf}                        where this role's files are rendered
    {dir.app}                         where the app's assets (hooks, scripts) lie
    {memory_mib} {heap_mib} {cores}   whole numbers; heap is memory less the role's overhead, cores at least 1
    {secret.NAME}                     a key of this run, derived, 64 hexadecimal digits
    {setting.NAME}                    a setting of the app, as the launch chose it
    {first.ROLE.address} {first.ROLE.port.NAME}    the first node of a role
    {peers.ROLE.NAME}                 host:port of every node of a role, by comma, for port NAME
    {runtime.python} {runtime.java} {runtime.home} interpreter, JAVA_HOME and root of the role's runtime
    {packages.python} {packages.home} the same for code of the cluster's users: also has the packages they install

A literal brace is doubled. What speaks of a role that the launch has no node of is empty text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tenants.amounts import Amounts

# No role, and so no group, has more nodes than this.
NODES_AT_MOST: Final = 1000


class OnChange(StrEnum):
    """What a node does when the content of one of its files changes under it. reread: reads it anew by itself."""

    IGNORE = "ignore"
    REREAD = "reread"
    SIGNAL = "signal"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Service:
    """Something a role offers on one of its ports.

    scheme: http or tcp. token: the name of the secret that opens the page, or "". metrics: paths that
    Prometheus may scrape. on_demand: its port is open only at times, so it is listed only while it answers.
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
    path: str
    content: str
    on_change: OnChange = OnChange.IGNORE


@dataclass(frozen=True, slots=True)
class Hooks:
    """Executables among the app's assets; each answers by exit code and one line of JSON ("" = has none).

    ready: 0 when the node would do work now. busy: 0 when it is working, 1 when idle,
    {"tasks": n, "executors": n}. drain: moves the work away and returns when done, at the latest after
    SLIPWAY_DRAIN_SECONDS; {"tasks_start", "tasks_end", "executors_start", "executors_end", "blocks_moved"},
    null where unknown. info: {"version": …} and whatever else helps a person.
    """

    ready: str = ""
    busy: str = ""
    drain: str = ""
    info: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of node. critical: a cluster without it can do nothing. when: the setting that turns it on."""

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
    """What a role needs to run: Python packages and a Java on the local site, an image on Kubernetes."""

    name: str
    python: tuple[str, ...] = ()
    java: int = 0
    prepare: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Asset:
    path: str
    content: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """A versioned distribution. Its body never changes once registered.

    settings: name -> JSON Schema of one value, each with a default. secrets: names of the keys a run gets.
    digest: of the body that it is registered with, and no part of what it is; "" for one that is not.
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
        """The secrets that open a page in a browser, and are part of its link."""
        services = (service for role in self.roles for service in role.services)
        return frozenset(service.token for service in services if service.scheme == "http" and service.token)

    def role(self, name: str) -> Role:
        return next(role for role in self.roles if role.name == name)

    def runtime(self, name: str) -> Runtime:
        return next(runtime for runtime in self.runtimes if runtime.name == name)


@dataclass(frozen=True, slots=True)
class Group:
    """`count` nodes of one role; `each` is what one of them takes (storage: its volume; clusters: 0).

    min_count, max_count: how far a resize may go; the role's own counts hold besides.
    """

    name: str
    role: str
    count: int
    each: Amounts
    min_count: int = 0
    max_count: int = NODES_AT_MOST


@dataclass(frozen=True, slots=True)
class Launch:
    """A template expanded for one cluster: all a provisioner needs, with the App's whole body."""

    app: App
    groups: tuple[Group, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes(self) -> Amounts:
        """What the running cluster holds, itself counted once."""
        nodes = sum((group.each * group.count for group in self.groups), start=Amounts())
        return nodes + Amounts(clusters=1)

    @property
    def keeps(self) -> Amounts:
        """What the stopped cluster holds: its volumes and its place among the clusters."""
        return Amounts(storage=self.takes.storage, clusters=1)

    def group(self, name: str) -> Group:
        return next(group for group in self.groups if group.name == name)


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group as a template has it: what a launch gets that says nothing, and how far it may go.

    least: never below the role's minimum. most: upper bounds by resource; one that is not named has none.
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
    """What a person chose, as it stands in JSON: `launch.expand` reads it and points at what is wrong.

    groups: {name: {"count", "cpu", "memory", "gpu", "storage"}}, each optional. preset: "" for none.
    """

    groups: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """One revision of a template, with the app it is for.

    parameters: for every setting of the app its schema, as the template narrows or locks it.
    presets: named choices, each a launch request without a preset.
    """

    app: App
    groups: tuple[GroupSpec, ...]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    presets: Mapping[str, LaunchRequest] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    quick_launch: bool = False
