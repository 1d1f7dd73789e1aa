"""The rules for every page: headers, no inline code, labels, contrast and size."""

import re
from pathlib import Path

import pytest
from django.test import Client, RequestFactory, override_settings

from controlplane import console
from controlplane.clusters.models import Cluster
from controlplane.console import errors
from tenants.models import ApiToken, User
from tests.cast import a_user
from tests.console.conftest import SignIn, World
from tests.console.reading import Reader, read
from tests.reconciler.settling import settle, site

STATIC = Path(console.__file__).parent / "static" / "console"
PAGES = (
    "/login",
    "/tenants",
    "/t/acme/",
    "/t/acme/clusters",
    "/t/acme/clusters?phase=failed",
    "/t/acme/clusters/one",
    "/t/acme/clusters/two",
    "/t/acme/clusters/one/resize",
    "/t/acme/clusters/one/delete",
    "/t/acme/clusters/one/nodes/head-0/log",
    "/t/acme/clusters/nothing",
    "/account",
    "/account/tokens",
)
# Pages for site admins only.
SITE_PAGES = ("/users", "/users/new", "/users/u/bob", "/users/u/robot", "/users/u/bob/delete")


@pytest.fixture
def pages(sign_in: SignIn, world: World) -> dict[str, object]:
    """Every page as alice gets it, with one cluster ready and one starting."""
    settle(world.launch("one"))
    two = world.launch("two")
    site(two).unready = {"hand-0"}
    settle(two)
    Cluster.objects.filter(id=two.id).update(conditions=[{"type": "Degraded", "message": "worse"}])
    robot = a_user("robot")
    User.objects.filter(pk=robot.pk).update(is_service=True)
    for owner in (robot, world.people.alice):
        ApiToken.objects.create(user=owner, name="ci")  # type: ignore[no-untyped-call]
    client, root = sign_in("alice"), sign_in("root")
    found: dict[str, object] = {path: (Client() if path == "/login" else client).get(path) for path in PAGES}
    return found | {path: root.get(path) for path in SITE_PAGES}


def test_every_page_has_a_strict_content_security_policy(pages: dict[str, object]) -> None:
    for path, page in pages.items():
        policy = page.headers["Content-Security-Policy"]  # type: ignore[attr-defined]
        assert "default-src 'self'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert "form-action 'self'" in policy, path
        assert "unsafe" not in policy, path
        assert "no-store" in page.headers["Cache-Control"], path  # type: ignore[attr-defined]


def test_no_page_has_inline_or_foreign_resources(pages: dict[str, object]) -> None:
    for path, page in pages.items():
        assert read(page).inline == [], path
        sources = re.findall(r'(?:src|href)="(https?:)?//', page.content.decode())  # type: ignore[attr-defined]
        assert sources == [], path


def test_every_control_has_a_label_and_every_id_is_used_once(pages: dict[str, object]) -> None:
    for path, page in pages.items():
        reader = read(page)
        assert set(reader.controls) <= set(reader.labels), path
        assert len(reader.ids) == len(set(reader.ids)), path


def test_every_page_has_its_landmarks_and_one_heading(pages: dict[str, object]) -> None:
    for path, page in pages.items():
        html = page.content.decode()  # type: ignore[attr-defined]
        assert html.count("<h1") == 1, path
        assert html.count("<main") == 1, path
        assert '<html lang="en">' in html, path
        if "<nav" in html:
            assert 'class="skip" href="#main"' in html, path


def test_every_form_that_posts_carries_its_token(pages: dict[str, object]) -> None:
    found = [form for page in pages.values() for form in read(page).forms if form.method == "post"]
    assert len(found) > 10
    assert all("csrfmiddlewaretoken" in form.fields for form in found)


def test_every_link_that_opens_a_tab_sends_no_referrer(sign_in: SignIn, world: World) -> None:
    page = sign_in("bob").get("/t/acme/").content.decode()
    assert len(re.findall('target="_blank"', page)) == len(re.findall('rel="noopener noreferrer"', page))


def test_the_styles_are_small() -> None:
    assert (STATIC / "console.css").stat().st_size <= 10_000


def palettes() -> dict[str, dict[str, str]]:
    css = (STATIC / "console.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


TINTS = ("good-tint", "warn-tint", "bad-tint", "busy-tint", "calm-tint")
TEXT = [(ink, paper, 4.5) for ink in ("text", "muted", "link", "bad", "warn") for paper in ("page", "card")]
TEXT += [(tone, f"{tone}-tint", 4.5) for tone in ("good", "warn", "bad", "busy")]
TEXT += [("on-fill", "fill", 4.5), ("link", "busy-tint", 4.5)]
TEXT += [(ink, tint, 4.5) for ink in ("text", "muted") for tint in TINTS]
EDGES = [("edge", "card", 3.0), ("edge", "page", 3.0), ("link", "page", 3.0), ("fill", "card", 3.0)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(scheme: str) -> None:
    palette = palettes()[scheme]
    poor = {
        (ink, paper): round(contrast(palette[ink], palette[paper]), 2)
        for ink, paper, least in TEXT + EDGES
        if contrast(palette[ink], palette[paper]) < least
    }
    assert poor == {}


def test_an_internal_error_shows_the_request_id_and_needs_no_database() -> None:
    request = RequestFactory().get("/t/acme/")
    request.request_id = "abc123"  # type: ignore[attr-defined]
    answer = errors.server_error(request)
    assert answer.status_code == 500
    assert "abc123" in answer.content.decode()
    assert "Content-Security-Policy" in answer.headers


@override_settings(CSRF_FAILURE_VIEW="controlplane.console.errors.csrf_failure")
def test_a_form_without_its_csrf_token_gets_our_error_page(world: World) -> None:
    answer = Client(enforce_csrf_checks=True).post("/login", {"username": "bob", "password": "x"})
    assert answer.status_code == 403
    assert "no longer valid" in answer.content.decode()


def test_an_unknown_path_is_not_found(sign_in: SignIn) -> None:
    answer = sign_in("bob").get("/nothing/here")
    assert answer.status_code == 404
    assert Reader(answer.content.decode()).inline == []
