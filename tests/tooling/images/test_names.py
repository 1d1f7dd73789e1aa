"""Names and tags of images, and the paths of their archives."""

from pathlib import Path

import pytest

from deploy.tooling.images.image import Image
from templates.images import image_of
from templates.schema import App, Runtime

PLAIN = Runtime("plain")


def app(*runtimes: Runtime, version: str = "1.2") -> App:
    return App("tiny", version, "Tiny", "", roles=(), runtimes=runtimes)


def test_an_image_is_named_after_its_app():
    assert image_of(app(PLAIN), PLAIN) == "slipway-tiny:1.2"


def test_each_of_several_runtimes_has_its_own_image():
    other = Runtime("other")
    assert image_of(app(PLAIN, other), other) == "slipway-tiny-other:1.2"


def test_a_tag_has_no_plus():
    assert image_of(app(PLAIN, version="1.2+own"), PLAIN) == "slipway-tiny:1.2-own"


def test_one_of_its_two_tags_names_its_inputs():
    image = Image(app(PLAIN), PLAIN, "localhost/base:1")
    assert image.tags == (f"localhost/slipway-tiny:1.2-{image.digest[:12]}", "localhost/slipway-tiny:1.2")


def test_the_archive_lies_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLIPWAY_IMAGE_CACHE", str(tmp_path))
    image = Image(app(PLAIN), PLAIN, "localhost/base:1")
    assert image.archive == tmp_path / f"slipway-tiny-1.2-{image.digest[:12]}.tar"
    assert not image.built
