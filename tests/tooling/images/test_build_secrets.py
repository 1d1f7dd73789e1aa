"""A build gets the settings of this machine for package indexes and proxies, and no others."""

from pathlib import Path

import pytest

from deploy.tooling.images import build_secrets


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = http://127.0.0.1:3141/simple\ncache-dir = /srv/pip\n"
        "[install]\ntrusted-host =\n    127.0.0.1\n    127.0.0.2\n"
    )
    (tmp_path / "bundle.pem").write_text("a certificate")
    for name in build_secrets.BUNDLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_pip_gets_the_package_index_and_no_folder_of_this_machine():
    settings = build_secrets.pip_settings()
    assert "index-url = http://127.0.0.1:3141/simple\n" in settings
    assert "trusted-host = \n    127.0.0.1\n    127.0.0.2\n" in settings
    assert "/srv/pip" not in settings
    assert "bundle.pem" not in settings


def test_a_variable_wins_over_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert "index-url = http://127.0.0.1:9/simple\n" in build_secrets.pip_settings()


def test_maven_settings_and_authorities_are_passed_unchanged(tmp_path: Path):
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text("<settings/>")
    (tmp_path / "secrets").mkdir()
    found = build_secrets.secrets(tmp_path / "secrets")
    assert found["maven"] == tmp_path / ".m2" / "settings.xml"
    assert found["ca"] == tmp_path / "bundle.pem"


def test_unset_settings_make_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT", "PIP_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    assert set(build_secrets.secrets(tmp_path)) == {"ca"}
