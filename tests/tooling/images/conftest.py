import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from deploy.tooling.images import base
from deploy.tooling.images.build import build
from deploy.tooling.images.image import Image
from templates.catalog import FOLDER, load
from tests.tooling.images.archives import Archive

APPS = {app.name: app for app in load()}
Open = Callable[[Image], Archive]


def provided(name: str) -> Image:
    """The image of this app; it is built if it does not exist."""
    image = Image(APPS[name], APPS[name].runtimes[0], base.ours())
    if os.geteuid() != 0:
        pytest.skip("opening images needs root: sudo python3 manage.py test tests/tooling/images")
    build(image, print)
    return image


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    folder = tmp_path_factory.mktemp("images")
    archives: dict[str, Archive] = {}

    def open_image(image: Image) -> Archive:
        name = image.app.name
        if name not in archives:
            (folder / name).mkdir()
            archives[name] = Archive(image.archive, folder / name, FOLDER / name)
        return archives[name]

    yield open_image
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


@pytest.fixture(scope="session", params=sorted(APPS))
def image(request: pytest.FixtureRequest) -> Image:
    return provided(request.param)


@pytest.fixture(scope="session")
def archive(image: Image, opened: Open) -> Archive:
    return opened(image)


@pytest.fixture(scope="session")
def spark(opened: Open) -> Archive:
    return opened(provided("spark"))
