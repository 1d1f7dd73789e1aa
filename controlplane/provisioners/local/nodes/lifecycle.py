"""Makes and ends nodes until what exists of one cluster is what should exist. The caller holds the cluster's lock."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from controlplane.provisioners.base import Desired, DesiredNode, NotYet, Permanent, Temporary
from controlplane.provisioners.local.launcher.launcher import RELOAD, STOP
from controlplane.provisioners.local.launcher.status import Status
from controlplane.provisioners.local.layout import ClusterFolder, Layout, NodeFolder
from controlplane.provisioners.local.nodes import addresses, launcher_spec, node_attempts, trash
from controlplane.provisioners.local.nodes.launcher_spec import LocalSite
from controlplane.provisioners.local.nodes.run_fence import RunFence
from controlplane.provisioners.local.runtimes import assets, cluster_packages, runtime
from controlplane.provisioners.node_environment import Rendered, expected_nodes, peers, secret_names
from controlplane.system import files
from templates.schema import OnChange


def apply(layout: Layout, folder: ClusterFolder, fence: RunFence, desired: Desired) -> None:
    """See `Provisioner.apply`. Raises Temporary when a node could not be made now, after all others were made."""
    if fence.has_ended(desired.run):
        return
    fence.end(desired.run - 1)
    _make_cluster_folder(layout, folder, desired)
    if not _is_latest(folder, desired):
        return
    wanted = {NodeFolder(folder, desired.run, node.name, node.attempt): node for node in desired.nodes}
    errors: list[Temporary] = []
    unlisted = [node for node in folder.nodes() if node not in wanted]
    # Names whose older attempts are not gone yet: no new attempt is made beside them.
    ending = _end_each(layout, unlisted, errors)
    if unlisted:
        trash.empty(layout)
    _remove_homes(layout, folder, desired)
    present = {node for node in folder.nodes() if node in wanted}
    missing = {
        node: spec
        for node, spec in wanted.items()
        if node not in present and node.name not in ending and not node.cleared_marker.exists()
    }
    sites = _sites(layout, folder, desired, make=bool(missing))
    made = _make(desired, missing, sites, errors)
    node_attempts.start(layout, [*made, *(node for node in present if not _has_started(node))])
    for node in present:
        _update(desired, wanted[node], node, sites[wanted[node].role])
    if errors:
        raise errors[0]


def end_nodes(layout: Layout, nodes: Iterable[NodeFolder], *, force: bool = False) -> set[str]:
    """Ask all of them to end. Returns the names of those that still exist.

    Raises Temporary when one request failed, after the requests to all others.
    """
    errors: list[Temporary] = []
    ending = _end_each(layout, nodes, errors, force=force)
    if errors:
        raise errors[0]
    return ending


def sweep(layout: Layout, folder: ClusterFolder, fence: RunFence) -> None:
    """Continue what earlier calls began: clear away ended nodes and, once they are gone, a removed cluster."""
    ended = [node for node in folder.nodes() if fence.has_ended(node.run)]
    ending = end_nodes(layout, ended)
    for run in {node.run for node in ended} - {node.run for node in folder.nodes()}:
        trash.throw_away(layout, folder.path / "runs" / str(run))
    if fence.is_removed and not ending and folder.path.exists():
        addresses.release(layout.root, folder.id)
        trash.throw_away(layout, folder.path)
    if ended or fence.is_removed:
        trash.empty(layout)


def _make_cluster_folder(layout: Layout, folder: ClusterFolder, desired: Desired) -> None:
    if desired.with_data and not (folder.path / "home").is_dir():
        raise Permanent("STORAGE_LOST", "the folder with this cluster's notebooks and data is gone")
    files.make_folder(layout.shared(desired.cluster.tenant_id))
    files.make_folder(folder.path / "runs" / str(desired.run))
    if not folder.meta.exists():
        meta = {"format": 1, "cluster": str(folder.id), "tenant": str(desired.cluster.tenant_id)}
        files.write_json(folder.meta, meta, durable=True)


def _is_latest(folder: ClusterFolder, desired: Desired) -> bool:
    """False when a newer generation was already applied: the caller is a stale worker."""
    path = folder.path / "runs" / str(desired.run) / "generation"
    try:
        applied = tuple(int(part) for part in path.read_text().split("."))
    except (FileNotFoundError, ValueError):
        applied = ()
    requested = (desired.generation, desired.link_version)
    if applied < requested:
        files.write(path, ".".join(map(str, requested)).encode())
    return applied <= requested


def _remove_homes(layout: Layout, folder: ClusterFolder, desired: Desired) -> None:
    """Remove the homes of nodes that a shrink has removed, once these nodes are gone."""
    existing = {node.name for node in folder.nodes()}
    groups = {group.name for group in desired.launch.groups}
    for name in folder.homes():
        # A user may have made a folder whose name only looks like a node's.
        is_node = name.rpartition("-")[0] in groups
        if is_node and not desired.is_kept(name) and name not in existing:
            trash.throw_away(layout, folder.home(name))


def _end_each(
    layout: Layout, nodes: Iterable[NodeFolder], errors: list[Temporary], *, force: bool = False
) -> set[str]:
    """Returns the names of the nodes that still exist. Appends to `errors`."""
    ending: set[str] = set()
    for node in nodes:
        try:
            if not node_attempts.end(layout, node, force=force):
                ending.add(node.name)
        except Temporary as error:
            errors.append(error)
            ending.add(node.name)
    return ending


def _sites(layout: Layout, folder: ClusterFolder, desired: Desired, *, make: bool) -> dict[str, LocalSite]:
    """Role name -> what its nodes find here. make: nodes will be made, so runtimes are checked for changes first."""
    app = desired.launch.app
    ports = {node.name: app.role(node.role).ports.values() for node in expected_nodes(desired)}
    assigned = addresses.assign(layout.root, desired.cluster.id, ports)
    app_folder = assets.write(layout, app)
    shared = layout.shared(desired.cluster.tenant_id)
    role_peers = peers(desired, assigned)
    sites: dict[str, LocalSite] = {}
    for name in {node.role for node in desired.nodes}:
        wanted = app.runtime(app.role(name).runtime)
        found = runtime.describe(layout, app, wanted)
        if make:
            found.check()
        found.write_request()
        packages = folder.packages(wanted.name) if found.request else found.home
        if found.request:
            cluster_packages.provide(packages, found)
        sites[name] = LocalSite(app_folder, shared, found, packages, assigned, role_peers)
    return sites


def _make(
    desired: Desired,
    missing: Mapping[NodeFolder, DesiredNode],
    sites: Mapping[str, LocalSite],
    errors: list[Temporary],
) -> list[NodeFolder]:
    """Prepare the folders of missing attempts, and return them. Appends to `errors`."""
    made: list[NodeFolder] = []
    for folder, node in missing.items():
        site = sites[node.role]
        address = site.addresses[node.name]
        taken = addresses.taken_port(address, desired.launch.app.role(node.role).ports.values())
        if taken is not None:
            message = f"{node.name}: port {taken} at {address} is taken by another program"
            errors.append(NotYet("PORT_TAKEN", message, delay=5))
            continue
        rendered = site.render(desired, node, folder)
        spec = launcher_spec.spec(desired, node, folder, site, rendered, time.time())
        node_attempts.prepare(folder, spec, rendered, site.shared)
        made.append(folder)
    return made


def _has_started(node: NodeFolder) -> bool:
    try:
        return Status.load(str(node.path)).started
    except (FileNotFoundError, ValueError):
        return True


def _update(desired: Desired, node: DesiredNode, folder: NodeFolder, site: LocalSite) -> None:
    """Bring the files of a running attempt up to a newer generation or link version, as `on_change` of each says."""
    path: Path = folder.path / "spec.json"
    try:
        spec = files.read_json(path)
    except (FileNotFoundError, ValueError):
        # The attempt has ended meanwhile, or its next observation finds it damaged.
        return
    if (spec.get("generation"), spec.get("link_version", 0)) == (desired.generation, desired.link_version):
        return
    rendered = site.render(desired, node, folder)
    links_only = spec.get("generation") == desired.generation
    changed = _changed_files(desired, node, folder, rendered, links_only=links_only)
    if OnChange.RESTART in changed.values():
        node_attempts.signal_launcher(folder, STOP)
        return
    for name in changed:
        node_attempts.write_conf(folder.conf / name, rendered.files[name])
    files.write_json(path, {**spec, "generation": desired.generation, "link_version": desired.link_version})
    if OnChange.SIGNAL in changed.values():
        node_attempts.signal_launcher(folder, RELOAD)


def _changed_files(
    desired: Desired, node: DesiredNode, folder: NodeFolder, rendered: Rendered, *, links_only: bool
) -> dict[str, OnChange]:
    """File name -> what the node does about it.

    links_only: the generation is the same, so only files with secrets that open pages can count as changed. Another
    release of Slipway may render the other files differently, and that must not restart a node.
    """
    app = desired.launch.app
    return {
        file.path: OnChange.RESTART if opens_page and file.on_change is OnChange.IGNORE else file.on_change
        for file in app.role(node.role).files
        # A node that reads its file only once would keep the old secret in memory: it is restarted.
        for opens_page in [not app.page_secrets.isdisjoint(secret_names(file.content))]
        if (opens_page or not links_only)
        and files.read_text(folder.conf / file.path) != rendered.files[file.path]
    }
