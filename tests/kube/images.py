"""The images of the catalogue on the nodes of the kube tests' Kubernetes."""

import os
from pathlib import Path

import pytest

from deploy.devkube.node_images import ctr, load
from deploy.devkube.settings import Devkube
from deploy.tooling.images.build import build
from deploy.tooling.images.image import every_image
from deploy.tooling.providers import KUBECONFIG


@pytest.fixture(scope="session")
def images(kubeconfig: Path) -> None:
    """Load all images into the devkube. Another Kubernetes is expected to have them."""
    if os.environ.get(KUBECONFIG):
        return
    kube = Devkube.from_environment()
    there = ctr(kube, "images", "ls", "-q").split()
    for image in every_image():
        build(image, print)
        if image.tags[0] not in there:
            load(kube, image.archive)
