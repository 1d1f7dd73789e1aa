"""Making what exists of one cluster what it should be. The cluster is locked by the caller."""

import time
from collections.abc import Iterable, Mapping

from controlplane.provisioners.base import Desired, DesiredNode, NotYet, Permanent, Temporary
from controlplane.provisioners.local import (
    addresses,
    assets,
    attempts,
    files,
    packages,
    rendering,
    runtimes,
    trash,
)
from controlplane.provisioners.local.launcher import RELOAD, STOP
from controlplane.provisioners.local.layout import ClusterFolder, Layout, NodeFolder
from controlplane.provisioners.local.ledger import Ledger
from controlplane.provisioners.local.rendering import LocalSite
from controlplane.provisioners.local.status import Status
from controlplane.provisioners.rendering import Rendered, peers, places, secrets_in
from templates.schema import OnChange


def apply(layout: Layout, folder: ClusterFolder, book: Ledger, desired: Desired) -> None:
    """Raises Temporary when a node could not be made now; all the others are made before that."""
    if book.has_ended(desired.run):
        return
    book.end(desired.run - 1)
    _claim(layout, folder, desired)
    if not _is_latest(folder, desired):
        return
    wanted = {NodeFolder(folder, desired.run, node.name, node.attempt): node for node in desired.nodes}
    troubles: list[Temporary] = []
    left = _end_unlisted(layout, folder, wanted, troubles)
    _clear_homes(layout, folder, desired)
    present = {node for node in folder.nodes() if node in wanted}
    missing = {
        node: wish
        for node, wish in wanted.items()
        if node not in present and node.name not in left and not node.spent.exists()
    }
    around = _surroundings(layout, folder, desired, make=bool(missing))
    made = _make(desired, missing, around, troubles)
    attempts.start(layout, [*made, *(node for node in present if not _begun(node))])
    for node in present:
        _update(desired, wanted[node], node, around[wanted[node].role])
    if troubles:
        raise troubles[0]


def end_nodes(layout: Layout, nodes: Iterable[NodeFolder], *, force: bool = False) -> set[str]:
    """Ask them all to end; the names of those that are still there. Raises Temporary after all were asked."""
    troubles: list[Temporary] = []
    left = _end_each(layout, nodes, troubles, force=force)
    if troubles:
        raise troubles[0]
    return left


def sweep(layout: Layout, folder: ClusterFolder, book: Ledger) -> None:
    """Carry on with what was ended before: clear away ended nodes and, in the end, a removed cluster."""
    over = [node for node in folder.nodes() if book.has_ended(node.run)]
    left = end_nodes(layout, over)
    for run in {node.run for node in over} - {node.run for node in folder.nodes()}:
        trash.throw_away(layout, folder.path / "runs" / str(run))
    if book.is_removed and not left and folder.path.exists():
        addresses.release(layout.root, folder.id)
        trash.throw_away(layout, folder.path)
    if over or book.is_removed:
        trash.empty(layout)


def _claim(layout: Layout, folder: ClusterFolder, desired: Desired) -> None:
    if desired.with_data and not (folder.path / "home").is_dir():
        raise Permanent("STORAGE_LOST", "the folder with this cluster's notebooks and data is gone")
    files.make_folder(str(layout.shared(desired.cluster.tenant_id)))
    files.make_folder(str(folder.path / "runs" / str(desired.run)))
    if not folder.meta.exists():
        whose = {"format": 1, "cluster": str(folder.id), "tenant": str(desired.cluster.tenant_id)}
        files.write_json(str(folder.meta), whose, durable=True)


def _is_latest(folder: ClusterFolder, desired: Desired) -> bool:
    """Not when a later wish was here before: whoever comes with this one slept, and would take back what is wanted."""
    path = folder.path / "runs" / str(desired.run) / "generation"
    try:
        known = tuple(int(part) for part in path.read_text().split("."))
    except (FileNotFoundError, ValueError):
        known = ()
    asked = (desired.generation, desired.link_version)
    if known < asked:
        files.write(str(path), ".".join(map(str, asked)).encode())
    return known <= asked


def _end_unlisted(
    layout: Layout, folder: ClusterFolder, wanted: Mapping[NodeFolder, DesiredNode], troubles: list[Temporary]
) -> set[str]:
    """The names whose older attempts are not gone yet."""
    unlisted = [node for node in folder.nodes() if node not in wanted]
    left = _end_each(layout, unlisted, troubles)
    if unlisted:
        trash.empty(layout)
    return left


def _clear_homes(layout: Layout, folder: ClusterFolder, desired: Desired) -> None:
    """Of nodes that were shrunk away, once they are gone."""
    there = {node.name for node in folder.nodes()}
    groups = {group.name for group in desired.launch.groups}
    for name in folder.homes():
        # Somebody may keep a folder of their own there, named alike.
        ours = name.rpartition("-")[0] in groups
        if ours and not desired.is_kept(name) and name not in there:
            trash.throw_away(layout, folder.home(name))


def _end_each(
    layout: Layout, nodes: Iterable[NodeFolder], troubles: list[Temporary], *, force: bool = False
) -> set[str]:
    left: set[str] = set()
    for node in nodes:
        try:
            if not attempts.end(layout, node, force=force):
                left.add(node.name)
        except Temporary as trouble:
            troubles.append(trouble)
            left.add(node.name)
    return left


def _surroundings(
    layout: Layout, folder: ClusterFolder, desired: Desired, *, make: bool
) -> dict[str, LocalSite]:
    """By role. make: whether nodes are to be made there."""
    app = desired.launch.app
    ports = {node.name: app.role(node.role).ports.values() for node in places(desired)}
    given = addresses.assign(layout.root, desired.cluster.id, ports)
    place = assets.write(layout, app)
    shared = layout.shared(desired.cluster.tenant_id)
    others = peers(desired, given)
    around: dict[str, LocalSite] = {}
    for name in {node.role for node in desired.nodes}:
        wanted = app.runtime(app.role(name).runtime)
        runtime = runtimes.describe(layout, app, wanted)
        if make:
            runtime.check()
        runtime.write_request()
        home = folder.packages(wanted.name) if runtime.request else runtime.home
        if runtime.request:
            packages.provide(home, runtime)
        around[name] = LocalSite(place, shared, runtime, home, given, others)
    return around


def _make(
    desired: Desired,
    missing: Mapping[NodeFolder, DesiredNode],
    around: Mapping[str, LocalSite],
    troubles: list[Temporary],
) -> list[NodeFolder]:
    made: list[NodeFolder] = []
    for folder, node in missing.items():
        place = around[node.role]
        address = place.addresses[node.name]
        taken = addresses.taken_port(address, desired.launch.app.role(node.role).ports.values())
        if taken is not None:
            told = f"{node.name}: port {taken} at {address} is taken by another program"
            troubles.append(NotYet("PORT_TAKEN", told, delay=5))
            continue
        given = rendering.rendered(desired, node, folder, place)
        spec = rendering.spec(desired, node, folder, place, given, time.time())
        attempts.prepare(folder, spec, given, place.shared)
        made.append(folder)
    return made


def _begun(node: NodeFolder) -> bool:
    try:
        return Status.load(str(node.path)).begun
    except (FileNotFoundError, ValueError):
        return True


def _update(desired: Desired, node: DesiredNode, folder: NodeFolder, around: LocalSite) -> None:
    """Bring the files of a running attempt up to a newer generation, or to new links, as each file says."""
    path = str(folder.path / "spec.json")
    try:
        spec = files.read_json(path)
    except (FileNotFoundError, ValueError):
        # It has ended on its own account, or will be found broken.
        return
    if (spec.get("generation"), spec.get("link_version", 0)) == (desired.generation, desired.link_version):
        return
    given = rendering.rendered(desired, node, folder, around)
    links_alone = spec.get("generation") == desired.generation
    changed = _changed(desired, node, folder, given, links_alone=links_alone)
    if OnChange.RESTART in changed.values():
        attempts.tell(folder, STOP)
        return
    for name in changed:
        attempts.write_conf(folder.conf / name, given.files[name])
    files.write_json(path, {**spec, "generation": desired.generation, "link_version": desired.link_version})
    if OnChange.SIGNAL in changed.values():
        attempts.tell(folder, RELOAD)


def _changed(
    desired: Desired, node: DesiredNode, folder: NodeFolder, given: Rendered, *, links_alone: bool
) -> dict[str, OnChange]:
    """links_alone: the generation is the same, so that a newer rendering changes nothing but what opens pages."""
    app = desired.launch.app
    return {
        file.path: OnChange.RESTART if opens and file.on_change is OnChange.IGNORE else file.on_change
        for file in app.role(node.role).files
        # A secret that opens a page must not stay in memory where its file is read only once.
        for opens in [not app.page_secrets.isdisjoint(secrets_in(file.content))]
        if (opens or not links_alone)
        and files.read_text(str(folder.conf / file.path)) != given.files[file.path]
    }
