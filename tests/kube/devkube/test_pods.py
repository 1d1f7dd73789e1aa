"""Volumes, rights and limits of containers; logs, exec and port forwarding."""

import subprocess

import pytest

from deploy.devkube.settings import Devkube
from tests.kube.devkube.calls import apply, exec_in_pod, fetch, of, refused, until
from tests.kube.devkube.objects import pod

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def test_logs(kube: Devkube) -> None:
    assert kube.kubectl("-n", "one", "logs", "web-0") == "started\n"


def test_exec_takes_a_mebibyte(kube: Devkube) -> None:
    assert exec_in_pod(kube, "two/cli", "wc", "-c", given="x" * 2**20).strip() == str(2**20)


def test_exec_reports_the_exit_code(kube: Devkube) -> None:
    assert "exit code 7" in refused(lambda: exec_in_pod(kube, "two/cli", "sh", "-c", "exit 7"))


def test_port_forward(kube: Devkube) -> None:
    kubectl = [str(kube.state / "bin/kubectl"), f"--kubeconfig={kube.kubeconfig}"]
    command = [*kubectl, "-n", "one", "port-forward", "pod/web-0", ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout
        address = forwarding.stdout.readline().split()[2]
        assert fetch(f"http://{address}/") == "web-0\n"
        forwarding.terminate()


def test_a_memory_volume_has_its_size(kube: Devkube) -> None:
    mounted = next(
        line for line in exec_in_pod(kube, "one/web-0", "mount").splitlines() if "on /www type tmpfs" in line
    )
    assert "size=8192k" in mounted


def test_a_read_only_root_is_read_only(kube: Devkube) -> None:
    assert exec_in_pod(kube, "one/web-0", "touch", "/www/x") == ""
    assert "Read-only file system" in refused(lambda: exec_in_pod(kube, "one/web-0", "touch", "/x"))


@pytest.mark.parametrize("line", ["Seccomp:\t2", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"])
def test_a_restricted_pod_is_locked_in(kube: Devkube, line: str) -> None:
    assert line in exec_in_pod(kube, "one/web-0", "cat", "/proc/self/status").splitlines()


def test_config_and_secret_files(kube: Devkube) -> None:
    assert exec_in_pod(kube, "one/web-0", "cat", "/config/k", "/secret/p") == "v1hunter2"


@pytest.mark.parametrize("who", ["cli", "member"])
def test_a_volume_is_writable_for_root_and_for_others(kube: Devkube, who: str) -> None:
    assert until(lambda: exec_in_pod(kube, f"two/{who}", "sh", "-c", "echo a > /d/f && cat /d/f")) == "a\n"


def test_more_memory_than_its_limit_kills_a_container(kube: Devkube) -> None:
    greedy = {"resources": {"limits": {"memory": "20Mi"}}}
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]
    apply(kube, pod("greedy", "two", command, container=greedy, restartPolicy="Never"))
    reason = ".status.containerStatuses[0].state.terminated.reason"
    assert until(lambda: of(kube, "two/pod/greedy", reason)) == "OOMKilled"
