import json
import os
import socket
import stat
from pathlib import Path

import pytest

from controlplane.standalone.doctor.check_result import CheckResult, as_json, show
from controlplane.standalone.doctor.examine import examine
from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.keys import key_files
from controlplane.standalone.supervise import pids
from controlplane.standalone.supervise.lock import held
from controlplane.standalone.web.ports import HOST
from tests.kube.cluster import kubeconfig as kubeconfig

KUBECONFIG = {
    "current-context": "here",
    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "me", "user": {"token": "none"}}],
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATABASE_URL_FILE", "KUBECONFIG", "VAULT_ADDR", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        found: int = probe.getsockname()[1]
        return found


def _part(name: str, data: DataDir, port: int) -> CheckResult:
    return next(part for part in examine(data.root, port) if part.name == name)


def test_it_names_every_part(data: DataDir, port: int) -> None:
    names = [part.name for part in examine(data.root, port)]
    of_the_machine = ["Python", "PostgreSQL", "Java", "runtimes", "disk"]
    of_the_installation = ["data directory", "installation", "port"]
    assert names == [*of_the_machine, *of_the_installation, "Kubernetes", "Vault"]


def test_it_names_the_problem_of_a_runtime(
    data: DataDir, port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLIPWAY_RUNTIME_CACHE", str(tmp_path))
    (tmp_path / "tiny-1-abc").mkdir()
    (tmp_path / "tiny-1-abc" / ".packages").touch()
    assert _part("runtimes", data, port).detail == "1 installed"
    (tmp_path / "tiny-1-abc" / ".notice").write_text("no archive")
    part = _part("runtimes", data, port)
    assert (part.detail, part.hinders) == ("tiny-1-abc: no archive", False)


def test_every_problem_says_what_to_do(data: DataDir, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    parts = examine(data.root, port)
    assert all(part.advice for part in parts if part.status != "ok")
    show(parts)
    assert "set VAULT_ADDR" in capsys.readouterr().out


def test_the_json_verdict_is_that_of_the_parts(data: DataDir, port: int) -> None:
    parts = examine(data.root, port)
    assert json.loads(as_json(parts))["ok"] is True
    broken = [*parts, CheckResult("x", "missing", "gone", "find it")]
    assert json.loads(as_json(broken))["ok"] is False


def test_a_missing_optional_part_is_no_failure(data: DataDir, port: int) -> None:
    vault = _part("Vault", data, port)
    assert (vault.status, vault.hinders) == ("missing", False)


def test_a_taken_port_is_missing(data: DataDir) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        part = _part("port", data, other.getsockname()[1])
    assert (part.status, part.hinders) == ("missing", True)
    assert "--port" in part.advice


def test_a_port_taken_by_this_installation_is_fine(data: DataDir) -> None:
    with socket.socket() as ours, held(data, url="http://127.0.0.1:8100"):
        pids.record(data, "supervisor", os.getpid())
        ours.bind((HOST, 0))
        part = next(part for part in examine(data.root) if part.name == "port")
        assert (part.status, part.detail) == ("ok", "8100, where Slipway runs now")


def test_an_installation_that_was_killed_is_stopped(data: DataDir, port: int) -> None:
    with held(data, url="http://127.0.0.1:8100"):
        (data.run / "supervisor.born").write_text("1 another-boot 5\n")
    assert _part("installation", data, port).detail == f"{data.root} is stopped"


def test_a_key_that_others_may_read_is_unsafe(data: DataDir, port: int) -> None:
    key_files(data)["secret"].chmod(0o644)
    part = _part("data directory", data, port)
    assert part.status == "unsafe"
    assert "keys/secret" in part.advice


def test_a_database_that_does_not_answer_is_missing(
    data: DataDir, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://alice:hunter2@127.0.0.1:{port}/slipway")
    part = _part("PostgreSQL", data, port)
    assert (part.status, part.hinders) == ("missing", True)
    assert "hunter2" not in part.detail + part.advice


def test_an_exposed_kubeconfig_is_unsafe(
    data: DataDir, port: int, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    file = folder / "kubeconfig"
    file.write_text(json.dumps(KUBECONFIG))
    file.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IROTH)
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert _part("Kubernetes", data, port).status == "unsafe"
    file.chmod(0o600)
    away = _part("Kubernetes", data, port)
    assert (away.status, away.hinders) == ("missing", True)
    assert away.detail.startswith("context here: ")


def test_an_invalid_kubeconfig_has_to_be_corrected(
    data: DataDir, port: int, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for content in ("", "[", "contexts: 3", "{}"):
        (folder / "kubeconfig").write_text(content)
        (folder / "kubeconfig").chmod(0o600)
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        assert _part("Kubernetes", data, port).advice == "correct KUBECONFIG", content


@pytest.mark.kube
def test_a_reachable_kubernetes_is_shown_with_its_version(
    data: DataDir, port: int, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, folder: Path
) -> None:
    copy = folder / "kubeconfig"
    copy.write_bytes(kubeconfig.read_bytes())
    copy.chmod(0o600)
    monkeypatch.setenv("KUBECONFIG", str(copy))
    found = _part("Kubernetes", data, port)
    assert (found.status, found.detail[:2]) == ("ok", "v1")


def test_an_unencrypted_vault_is_unsafe(data: DataDir, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "http://vault.example:8200")
    assert _part("Vault", data, port).status == "unsafe"
