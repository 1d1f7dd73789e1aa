"""The built images, which every node starts from."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from deploy.tooling.images import build_secrets
from deploy.tooling.images.image import Image
from tests.tooling.images.archives import Archive, certificates, public_authorities

pytestmark = [pytest.mark.kube, pytest.mark.timeout(1800)]

IMPORTS = (
    "import ipykernel, jupyterlab, matplotlib.pyplot, numpy.testing, pandas, pandas.testing, pyarrow.parquet"
)
ALLOWED_VARIABLES = {"HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE"}


def locked(image: Image) -> set[str]:
    texts = [image.inputs.files[f"locks/{place}/locked.txt"][0].decode() for place in ("common", "own")]
    return {line.split(" ")[0] for text in texts for line in text.splitlines() if "==" in line}


def test_it_has_both_names(image: Image, archive: Archive):
    assert archive.manifest["RepoTags"] == list(image.tags)


def test_its_labels_name_its_source(image: Image, archive: Archive):
    labels = archive.config["Labels"]
    assert labels["slipway.app"] == image.app.name
    assert labels["slipway.runtime"] == image.runtime.name
    assert labels["slipway.inputs"] == image.digest
    assert labels["slipway.base"] == labels["org.opencontainers.image.base.name"] == image.base
    assert labels["org.opencontainers.image.version"] == image.app.version
    assert re.fullmatch("sha256:[0-9a-f]{64}", labels["org.opencontainers.image.base.digest"])


def test_it_runs_as_a_user_who_has_a_name_and_a_home(archive: Archive):
    assert archive.config["User"] == "1000:1000"
    assert archive.run("sh", "-c", "id -un; cd; pwd; touch mine") == "slipway\n/home/slipway\n"


def test_tini_is_its_first_process(archive: Archive):
    assert archive.config["Entrypoint"] == ["/usr/bin/tini", "--"]
    assert archive.run("/usr/bin/tini", "--", "echo", "started") == "started\n"


def test_nothing_but_scratch_and_home_can_be_written(archive: Archive):
    said = archive.run(
        "sh", "-c", "for place in / /opt/runtime /etc /app; do touch $place/x; done 2>&1; touch /tmp/x"
    )
    assert said.count("Read-only file system") + said.count("Permission denied") == 4


def test_no_file_is_another_users(archive: Archive):
    owners = {path.lstat().st_uid for path in archive.root.rglob("*")}
    assert owners <= {0, 1000, 42}


def test_the_runtime_has_exactly_the_chosen_packages(image: Image, archive: Archive):
    listed = json.loads(
        archive.run("python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check")
    )
    found = {f"{package['name'].lower().replace('_', '-')}=={package['version']}" for package in listed}
    assert found == {line.lower().replace("_", "-") for line in locked(image)}


def test_python_is_where_the_local_site_has_it(archive: Archive):
    assert archive.run("/opt/runtime/bin/python", "-c", f"{IMPORTS}; print('imported')").endswith(
        "imported\n"
    )


def test_the_apps_own_files_are_not_in_it(archive: Archive):
    assert list((archive.root / "app").iterdir()) == []


# -- settings of this machine -------------------------------------------------------------------------------------


def test_no_setting_of_this_machine_is_in_it(archive: Archive):
    places = ["etc/pip.conf", "root/.config", "root/.m2", "root/.cache", "etc/apt/apt.conf", "etc/maven"]
    assert [place for place in places if (archive.root / place).exists()] == []
    assert [
        path for path in (archive.root / "run").rglob("*") if path.is_file() and path.stat().st_size
    ] == []
    assert not (archive.root / "etc/apt/sources.list").read_text().strip()
    assert [path.name for path in (archive.root / "etc/apt/sources.list.d").iterdir()] == []


def test_no_variable_of_this_machine_is_in_it(archive: Archive):
    assert set(archive.environment) == ALLOWED_VARIABLES


def test_no_step_of_its_history_names_a_proxy(archive: Archive):
    history = archive.member(archive.manifest["Config"])["history"]
    commands = " ".join(step.get("created_by", "") for step in history).lower()
    assert history
    assert not re.search("proxy|index-url|https?://", commands)


def test_it_trusts_only_public_authorities(archive: Archive):
    trusted = certificates((archive.root / "etc/ssl/certs/ca-certificates.crt").read_text())
    assert len(trusted) > 100
    assert trusted <= public_authorities(archive.root)
    assert list((archive.root / "usr/local/share/ca-certificates").iterdir()) == []


def found_in(root: Path, authorities: set[str]) -> set[str]:
    """Files below `root` with the middle of one of these certificates, which PEM has on one line."""
    lines = "\n".join(text[412:452] for text in authorities)
    searched = subprocess.run(
        ["grep", "-rlsF", "-f", "-", "--exclude-dir=proc", "."],
        cwd=root, input=lines, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return set(searched.stdout.splitlines())


def test_no_authority_of_this_machine_is_anywhere(archive: Archive, tmp_path: Path):
    public = public_authorities(archive.root)
    assert "./etc/ssl/certs/ca-certificates.crt" in found_in(archive.root, set(list(public)[:3]))
    bundle = build_secrets.secrets(tmp_path).get("ca")
    # Machines differ in the public authorities that they know.
    own = certificates(bundle.read_text()) - public - public_authorities(Path("/")) if bundle else set()
    assert not own or found_in(archive.root, own) == set()
