from pathlib import Path

import pytest

from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.setup.production import check_environment, insecure_settings


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("SLIPWAY_DEBUG", "1", "stack traces"),
        ("SLIPWAY_SECURE_COOKIES", "0", "TLS"),
        ("SLIPWAY_SECRET_KEY", "abc", "guessed"),
        ("SLIPWAY_INSTALLATION_KEY", "abc", "guessed"),
        ("SLIPWAY_ALLOWED_HOSTS", "a.example,*", "any host"),
        ("SLIPWAY_ALLOWED_HOSTS", "0.0.0.0", "no name"),
        ("SLIPWAY_FAKE_SITE", "true", "not real"),
        ("SLIPWAY_LOCAL_SITE", "1", "local site"),
    ],
)
def test_each_insecure_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, word: str
) -> None:
    monkeypatch.setenv("SLIPWAY_SECURE_COOKIES", "1")
    monkeypatch.setenv("SLIPWAY_LOCAL_SITE", "0")
    before = insecure_settings()
    monkeypatch.setenv(name, value)
    added = [sentence for sentence in insecure_settings() if sentence not in before]
    assert len(added) == 1
    assert word in added[0]
    with pytest.raises(ExpectedError, match="Not fit for production"):
        check_environment()


@pytest.mark.parametrize("name", ["SLIPWAY_SECRET_KEY", "SLIPWAY_INSTALLATION_KEY"])
def test_a_short_key_in_a_file_can_be_guessed_too(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str
) -> None:
    (folder / "key").write_text("short" + " " * 40)
    monkeypatch.setenv(f"{name}_FILE", str(folder / "key"))
    assert any(name in sentence for sentence in insecure_settings())
    (folder / "key").write_text("k" * 32)
    assert not any(name in sentence for sentence in insecure_settings())


def test_a_missing_key_file_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("SLIPWAY_SECRET_KEY_FILE", str(folder / "none"))
    with pytest.raises(ExpectedError, match="cannot be read"):
        insecure_settings()
