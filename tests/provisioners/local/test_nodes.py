"""The environment, folders, addresses, updates, hooks and logs of local nodes."""

import json
import socket
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import (
    Desired,
    DrainOutcome,
    Load,
    NodeRef,
    NotYet,
    Permanent,
    SiteUnknown,
)
from controlplane.provisioners.local.launcher import node_log
from templates.schema import App, File, Group, Hooks, OnChange, Service
from tenants.amounts import Amounts
from tests.provisioners.launching import (
    app,
    cluster,
    desired,
    first,
    hook,
    make_ready,
    removed,
    role,
    states,
    until,
)
from tests.provisioners.machine import Machine

SECRET = "5ec2e7" * 10
SERVE = (
    "import os, socket, time; s = socket.socket(); s.bind((os.environ['SLIPWAY_ADDRESS'], {port.rpc}));"
    "s.listen(); print('listens', flush=True); time.sleep(1000)"
)


def server(**fields: Any) -> App:
    return app(replace(role(ports={"rpc": 7077}, **fields), command=("{runtime.python}", "-c", SERVE)))


# -- files, folders, environment ----------------------------------------------------------------------------------


def test_files_are_rendered_and_only_their_owner_can_read_them(here: Machine):
    file = File(
        "etc/conf", "key={secret.spark}\nhome={dir.home}\nheap={heap_mib} cores={cores} {setting.fast}\n"
    )
    body = app(role(files=(file,), overhead=2**28), secrets=("spark",))
    wish = desired(cluster(), body=body, secrets={"spark": SECRET})
    wish = replace(wish, launch=replace(wish.launch, settings={"fast": True}))
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    written = folder.conf / "etc/conf"
    assert written.read_text() == f"key={SECRET}\nhome={folder.home}\nheap=768 cores=1 true\n"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_damaged_record_does_not_stop_the_removal_of_another_tenant(here: Machine):
    damaged, whole = desired(cluster()), desired(cluster())
    for wish in (damaged, whole):
        make_ready(here.site, wish)
    here.site.layout.cluster(damaged.cluster.id).meta.write_bytes(b"{")
    here.site.remove_tenant(whole.cluster.tenant_id)
    until(lambda: not here.site.look(whole.cluster, ()).exists)
    assert here.site.look(damaged.cluster, ()).exists
    with pytest.raises(SiteUnknown, match="CLUSTER_UNREADABLE"):
        list(here.site.list_all())
    until(lambda: removed(here.site, damaged.cluster))


def test_other_users_have_no_access_to_the_folders(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    modes = {
        path: stat.S_IMODE(path.lstat().st_mode) for path in here.root.rglob("*") if not path.is_symlink()
    }
    assert [str(path) for path, mode in modes.items() if mode & 0o077 and not path.is_socket()] == []


def test_a_secret_is_in_no_command_and_no_record(here: Machine):
    body = app(role("echo $KEY; exec sleep 1000", env={"KEY": "{secret.spark}"}), secrets=("spark",))
    wish = desired(cluster(), body=body, secrets={"spark": SECRET})
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    here.says(folder, SECRET)
    pids = [here.launcher(folder), *here.processes(folder)]
    public = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    public += [(folder.path / "status.json").read_bytes(), folder.cluster.meta.read_bytes()]
    assert not any(SECRET.encode() in text for text in public)


def test_a_command_with_a_secret_is_refused(here: Machine):
    body = app(role("echo {secret.spark}"), secrets=("spark",))
    with pytest.raises(Permanent, match="APP_INVALID"):
        here.site.apply(desired(cluster(), body=body, secrets={"spark": SECRET}))


def test_nodes_do_not_inherit_the_environment_of_slipway(here: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL_OF_OURS", "postgresql://secret")
    wish = desired(cluster(), body=app(role("env; echo done; exec sleep 1000")))
    make_ready(here.site, wish)
    said = here.says(here.folder(wish.cluster), "done")
    assert "DATABASE_URL_OF_OURS" not in said
    assert f"SLIPWAY_NODE={wish.cluster.id}/worker-0/1.1" in said


def test_a_command_may_contain_the_addresses_of_peers(here: Machine):
    wish = desired(
        cluster(), 2, body=app(role("echo {peers.worker.rpc}; exec sleep 1000", ports={"rpc": 7077}))
    )
    make_ready(here.site, wish)
    addresses = {node.name: node.address for node in here.site.look(wish.cluster, ()).nodes}
    peers = f"{addresses['worker-0']}:7077,{addresses['worker-1']}:7077"
    assert here.says(here.folder(wish.cluster, "worker-1"), "\n") == peers + "\n"


def test_its_home_outlives_the_run(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    (here.folder(wish.cluster).home / "notebook").write_text("mine")
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    make_ready(here.site, replace(wish, run=2, has_data=True))
    assert (here.folder(wish.cluster, run=2).home / "notebook").read_text() == "mine"


def test_clusters_of_a_tenant_share_a_folder(here: Machine):
    one, other = desired(cluster()), desired(cluster())
    other = replace(other, cluster=replace(other.cluster, tenant_id=one.cluster.tenant_id))
    make_ready(here.site, one)
    make_ready(here.site, other)
    (here.folder(one.cluster).home / "shared" / "model").write_text("trained")
    assert (here.folder(other.cluster).home / "shared" / "model").read_text() == "trained"


def test_removing_a_cluster_leaves_the_shared_folder(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    (here.folder(wish.cluster).home / "shared" / "model").write_text("trained")
    until(lambda: removed(here.site, wish.cluster))
    until(lambda: not any(here.site.layout.trash.iterdir()))
    assert (here.site.layout.shared(wish.cluster.tenant_id) / "model").read_text() == "trained"


def test_a_person_can_enter_the_environment_of_a_node(here: Machine):
    wish = desired(cluster(), body=app(role(env={"WORD": "it's {node}"})))
    make_ready(here.site, wish)
    enter = here.folder(wish.cluster).enter
    done = subprocess.run(
        [enter, "sh", "-c", 'echo "$WORD" in $PWD'], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"it's worker-0 in {here.folder(wish.cluster).home}\n"


def test_a_launcher_uses_little_memory(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    status = Path(f"/proc/{here.launcher(here.folder(wish.cluster))}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 15 * 1024


# -- addresses ----------------------------------------------------------------------------------------------------


def test_every_node_has_its_own_address(here: Machine):
    wish = desired(cluster(), 3)
    make_ready(here.site, wish)
    addresses = {node.address for node in here.site.look(wish.cluster, ()).nodes}
    assert len(addresses) == 3
    assert all(address.startswith("127.") for address in addresses)


def test_an_address_stays_with_its_name(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    before = here.site.look(wish.cluster, ()).nodes[0].address
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    make_ready(here.site, replace(wish, run=2))
    assert here.site.look(wish.cluster, ()).nodes[0].address == before


def test_a_removed_cluster_releases_its_addresses(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    until(lambda: removed(here.site, wish.cluster))
    assert json.loads((here.root / "addresses.json").read_text()) == {}


def test_damaged_addresses_are_read_from_the_nodes(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    before = json.loads((here.root / "addresses.json").read_text())
    (here.root / "addresses.json").write_text("{")
    here.site.apply(wish)
    more = desired(cluster())
    make_ready(here.site, more)
    assert before.items() <= json.loads((here.root / "addresses.json").read_text()).items()


def test_a_port_taken_on_every_address_is_named(here: Machine):
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        wish = desired(cluster(), body=app(role(ports={"rpc": port})))
        with pytest.raises(NotYet, match=f"PORT_TAKEN: port {port} "):
            here.site.apply(wish)


def test_a_port_taken_at_its_own_address_is_named(here: Machine):
    wish = desired(cluster(), body=server())
    make_ready(here.site, wish)
    address = here.site.look(wish.cluster, ()).nodes[0].address
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    with socket.create_server((address, 7077)), pytest.raises(NotYet, match="PORT_TAKEN: worker-0"):
        here.site.apply(replace(wish, run=2))


# -- changes under a running node ---------------------------------------------------------------------------------


def changed(wish: Desired, content: str) -> Desired:
    body = wish.launch.app
    file = replace(body.roles[0].files[0], content=content)
    newer = replace(body, roles=(replace(body.roles[0], files=(file,)),))
    return replace(wish, generation=wish.generation + 1, launch=replace(wish.launch, app=newer))


def watching(on_change: OnChange) -> Desired:
    text = "trap 'echo heard $(cat {dir.conf}/f)' HUP; echo up; while true; do sleep 0.05; done"
    return desired(cluster(), body=app(role(text, files=(File("f", "old", on_change),))))


def test_a_changed_file_is_rewritten(here: Machine):
    wish = watching(OnChange.IGNORE)
    make_ready(here.site, wish)
    here.site.apply(changed(wish, "new"))
    assert (here.folder(wish.cluster).conf / "f").read_text() == "new"
    assert states(here.site, wish.cluster) == {("worker-0", 1): "ready"}


def test_a_node_is_signalled_about_a_changed_file(here: Machine):
    wish = watching(OnChange.SIGNAL)
    make_ready(here.site, wish)
    here.says(here.folder(wish.cluster), "up")
    here.site.apply(changed(wish, "new"))
    here.says(here.folder(wish.cluster), "heard new")


def test_a_node_that_cannot_take_up_a_change_is_ended(here: Machine):
    wish = watching(OnChange.RESTART)
    make_ready(here.site, wish)
    here.site.apply(changed(wish, "new"))
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ended"})


def test_a_newer_rendering_of_the_same_generation_changes_nothing(here: Machine):
    wish = watching(OnChange.RESTART)
    make_ready(here.site, wish)
    here.site.apply(replace(changed(wish, "new"), generation=wish.generation))
    assert (here.folder(wish.cluster).conf / "f").read_text() == "old"
    assert states(here.site, wish.cluster) == {("worker-0", 1): "ready"}


def opened_by_a_token(on_change: OnChange) -> Desired:
    """A node with a page that a token opens, and one more file."""
    page = Service("page", "web", scheme="http", token="page")
    token = File("token", "{secret.page}", on_change)
    body = role(files=(token, File("f", "old", OnChange.RESTART)), ports={"web": 8080}, services=(page,))
    return desired(cluster(), body=app(body, secrets=("page",)), secrets={"page": "first"})


def with_new_links(wish: Desired) -> Desired:
    """Returns the wish with new links and another content of the other file, as a later release may render it."""
    worker = wish.launch.app.roles[0]
    newer = replace(worker, files=(worker.files[0], replace(worker.files[1], content="new")))
    launch = replace(wish.launch, app=replace(wish.launch.app, roles=(newer,)))
    return replace(wish, launch=launch, secrets={"page": "second"}, link_version=1)


def test_new_links_are_applied_in_place_and_change_nothing_else(here: Machine):
    wish = opened_by_a_token(OnChange.REREAD)
    make_ready(here.site, wish)
    here.site.apply(with_new_links(wish))
    conf = here.folder(wish.cluster).conf
    assert [(conf / name).read_text() for name in ("token", "f")] == ["second", "old"]
    assert states(here.site, wish.cluster) == {("worker-0", 1): "ready"}


def test_a_node_that_reads_its_token_once_ends_for_new_links(here: Machine):
    wish = opened_by_a_token(OnChange.IGNORE)
    make_ready(here.site, wish)
    here.site.apply(with_new_links(wish))
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ended"})


def test_a_stale_worker_brings_no_old_links_back(here: Machine):
    wish = opened_by_a_token(OnChange.REREAD)
    make_ready(here.site, wish)
    here.site.apply(with_new_links(wish))
    here.site.apply(wish)
    assert (here.folder(wish.cluster).conf / "token").read_text() == "second"


# -- hooks --------------------------------------------------------------------------------------------------------


def probed(text: str, **fields: Any) -> Desired:
    body = app(role(hooks=Hooks(ready="hooks/ready"), **fields), assets=[hook("hooks/ready", text)])
    return desired(cluster(), body=body)


def test_a_node_is_ready_when_its_hook_says_so(here: Machine):
    wish = probed('test -e "$SLIPWAY_DIR_HOME/go" || { echo waits for go; exit 1; }')
    here.site.apply(wish)
    until(lambda: here.site.look(wish.cluster, ()).nodes[0].message == "waits for go")
    assert states(here.site, wish.cluster) == {("worker-0", 1): "starting"}
    (here.folder(wish.cluster).home / "go").touch()
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ready"})


def test_a_hook_reaches_a_port_that_has_opened(here: Machine):
    body = server(hooks=Hooks(ready="hooks/ready"))
    body = replace(body, assets=(hook("hooks/ready", "test $SLIPWAY_PORT_RPC = 7077"),))
    make_ready(here.site, desired(cluster(), body=body))


def test_a_drain_beyond_its_deadline_is_reported(here: Machine):
    tail = [
        hook(
            "hooks/slow",
            'echo \'{"tasks_start": 3, "tasks_end": "many"}\'; sleep $SLIPWAY_DRAIN_SECONDS; exit 1',
        )
    ]
    wish = desired(cluster(), body=app(role(hooks=Hooks(drain="hooks/slow")), assets=tail))
    make_ready(here.site, wish)
    here.site.begin_drain(wish.cluster, [first(wish)], 1)
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "drained"})
    report = here.site.look(wish.cluster, ()).nodes[0].drain
    assert report
    assert (report.outcome, report.tasks_start, report.tasks_end) == (DrainOutcome.DEADLINE, 3, None)


def test_an_interrupted_drain_is_reported(here: Machine):
    slow = [hook("hooks/slow", "echo begun >> $SLIPWAY_DIR_HOME/begun; exec sleep 1000")]
    wish = desired(cluster(), body=app(role(hooks=Hooks(drain="hooks/slow")), assets=slow))
    make_ready(here.site, wish)
    here.site.begin_drain(wish.cluster, [first(wish)], 60)
    until((here.folder(wish.cluster).home / "begun").exists)
    here.break_node(wish.cluster, "worker-0")
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ended"})
    report = here.site.look(wish.cluster, ()).nodes[0].drain
    assert report
    assert report.outcome is DrainOutcome.KILLED


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ('echo \'{"tasks": 3, "executors": 1}\'', Load(True, 3)),
        ("echo '{\"tasks\": 0}'; exit 1", Load(False, 0)),
        ("echo broken; exit 2", Load(None)),
        ("exec sleep 1000", Load(None)),
    ],
)
def test_the_busy_hook_gives_the_load(here: Machine, text: str, load: Load):
    body = app(role(hooks=Hooks(busy="hooks/busy")), assets=[hook("hooks/busy", text)])
    wish = desired(cluster(), body=body)
    make_ready(here.site, wish)
    assert here.site.load(wish.cluster, [first(wish)]) == {"worker-0": load}


# -- logs ---------------------------------------------------------------------------------------------------------


def test_a_log_is_limited_and_keeps_its_end(here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_log, "FILE_BYTES", 100_000)
    writer = node_log.LogWriter(str(tmp_path))
    for index in range(100):
        writer.write(b"%09999d\n" % index)
    assert sum((tmp_path / name).stat().st_size for name in (node_log.NAME, node_log.OLDER)) <= 200_000
    assert node_log.tail(str(tmp_path), 150_000).endswith(b"99\n")
    assert len(node_log.tail(str(tmp_path), 150_000)) == 150_000


def test_a_log_is_followed_into_its_next_file(here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_log, "FILE_BYTES", 10)
    writer = node_log.LogWriter(str(tmp_path))
    over: list[bool] = []
    lines = node_log.follow(str(tmp_path), lambda: bool(over), pause=0)
    assert next(lines) == b""
    writer.write(b"first...\n")
    writer.write(b"second..\n")
    over.append(True)
    assert b"".join(lines) == b"first...\nsecond..\n"


def test_the_end_of_a_log_outlives_its_node(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    here.says(here.folder(wish.cluster), "worker-0 is here\n")
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    assert here.site.logs(wish.cluster, NodeRef("worker-0", 1), tail_bytes=100) == b"worker-0 is here\n"


def test_follow_returns_what_is_written_later(here: Machine):
    text = "while [ ! -e {dir.home}/go ]; do sleep 0.05; done; echo news; exec sleep 1000"
    wish = desired(cluster(), body=app(role(text)))
    make_ready(here.site, wish)
    lines = here.site.follow(wish.cluster, first(wish))
    assert next(lines) == b""
    (here.folder(wish.cluster).home / "go").touch()
    assert until(lambda: next(lines)) == b"news\n"


def test_groups_of_one_role_are_peers(here: Machine):
    wish = desired(cluster(), 2, body=app(role("echo {first.worker.address}; exec sleep 1000")))
    other = replace(wish.nodes[1], name="big-0", group="big", index=0)
    groups = (Group("big", "worker", 1, Amounts()), *wish.launch.groups)
    wish = replace(wish, nodes=(wish.nodes[0], other), launch=replace(wish.launch, groups=groups))
    make_ready(here.site, wish)
    address = {node.name: node.address for node in here.site.look(wish.cluster, ()).nodes}["big-0"]
    assert here.says(here.folder(wish.cluster), "\n") == f"{address}\n"


def test_a_node_that_is_being_replaced_keeps_its_address(here: Machine):
    lead = replace(role(), name="lead")
    body = app(lead, role("echo {first.lead.address}; exec sleep 1000"))
    wish = desired(cluster(), body=body)
    groups = (Group("lead", "lead", 1, Amounts()), *wish.launch.groups)
    wish = replace(wish, launch=replace(wish.launch, groups=groups))
    make_ready(here.site, wish)
    address = here.says(here.folder(wish.cluster), "\n").strip()
    leader = replace(wish.nodes[0], name="lead-0", group="lead", role="lead")
    make_ready(here.site, replace(wish, nodes=(leader, *wish.nodes)))
    assert address == {node.name: node.address for node in here.site.look(wish.cluster, ()).nodes}["lead-0"]
