"""How the settings that reach an API server are read from a kubeconfig or a pod when a site is registered."""

import json
import os
from pathlib import Path

import pytest

from controlplane.provisioners.kubernetes.client import reach
from controlplane.provisioners.kubernetes.settings import Reach, SettingsInvalid


def kubeconfig(path: Path, current: str, *contexts: str) -> str:
    named = {
        "contexts": [{"name": name, "context": {"cluster": "one", "user": "one"}} for name in contexts],
        "clusters": [{"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "one", "user": {"token": "x"}}],
    }
    path.write_text(json.dumps({"current-context": current, **named}))
    return str(path)


def test_the_current_context_is_recorded_by_name(tmp_path: Path):
    file = kubeconfig(tmp_path / "a", "two", "one", "two")
    assert reach.by_kubeconfig(file) == {"kubeconfig": file, "context": "two"}
    assert Reach.parse(reach.by_kubeconfig(file), "provision").context == "two"


def test_the_first_file_with_a_current_context_wins(tmp_path: Path):
    files = [kubeconfig(tmp_path / "a", "", "one"), kubeconfig(tmp_path / "b", "two", "two")]
    found = reach.by_kubeconfig(os.pathsep.join([*files, ""]))
    assert found == {"kubeconfig": os.pathsep.join(files), "context": "two"}


def test_paths_are_recorded_as_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = kubeconfig(tmp_path / "a", "one", "one")
    monkeypatch.chdir(tmp_path)
    assert reach.by_kubeconfig("a")["kubeconfig"] == file


def test_a_kubeconfig_without_a_current_context_is_refused(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="no current context: name one of one, two"):
        reach.by_kubeconfig(kubeconfig(tmp_path / "a", "", "one", "two"))


def test_a_missing_file_among_several_is_ignored(tmp_path: Path):
    """kubectl ignores it, too."""
    files = [str(tmp_path / "missing"), kubeconfig(tmp_path / "b", "two", "two")]
    found = reach.by_kubeconfig(os.pathsep.join(files))
    assert found == {"kubeconfig": os.pathsep.join(files), "context": "two"}


def test_an_error_names_the_files_if_all_are_missing(tmp_path: Path):
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    with pytest.raises(SettingsInvalid, match=f"{files[0]} and {files[1]}: there is no such file"):
        reach.by_kubeconfig(os.pathsep.join(files))


@pytest.mark.parametrize("content", ["- 1", "a: [", "\0"])
def test_a_malformed_kubeconfig_is_refused(tmp_path: Path, content: str):
    (tmp_path / "a").write_text(content)
    with pytest.raises(SettingsInvalid, match="is no kubeconfig"):
        reach.by_kubeconfig(str(tmp_path / "a"))


def test_a_pod_without_a_service_account_is_not_in_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reach, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    with pytest.raises(SettingsInvalid, match="does not run in a Kubernetes"):
        reach.in_cluster()


def test_in_a_cluster_each_account_can_have_its_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reach, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    for name in ("token", "ca.crt", "exec-token"):
        (tmp_path / name).write_text("x")
    assert reach.in_cluster() == {"in_cluster": True}
    assert reach.in_cluster(str(tmp_path / "exec-token")) == {
        "server": reach.IN_CLUSTER_SERVER,
        "token_file": str(tmp_path / "exec-token"),
        "ca_file": str(tmp_path / "ca.crt"),
    }
