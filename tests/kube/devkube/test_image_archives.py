"""Image archives of other makers."""

from pathlib import Path

import pytest

from deploy.devkube import node_images
from deploy.devkube.settings import Devkube
from tests.kube.devkube.calls import refused

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def test_an_archive_is_loaded_under_its_name(kube: Devkube, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    node_images.ctr(kube, "images", "tag", "localhost/busybox:1", "localhost/another:1")
    node_images.ctr(kube, "images", "export", str(archive), "localhost/another:1")
    node_images.ctr(kube, "images", "rm", "localhost/another:1")
    node_images.load(kube, archive)
    assert "localhost/another:1" in node_images.ctr(kube, "images", "ls", "-q").split()


def test_a_missing_archive_is_named(kube: Devkube, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(lambda: node_images.load(kube, tmp_path / "no.tar"))
