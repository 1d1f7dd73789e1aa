import json
from itertools import chain
from typing import Any

import pytest

from templates.parsing import STORED_FORMAT, app_body, digest, parse_app, stored_app
from templates.schema import App, File, OnChange
from tenants.amounts import Amounts
from tenants.errors import Invalid
from tests.templates.examples import engine, engine_body, spoilt

GI = 2**30


def as_stored(body: object) -> Any:
    """Returns the body as PostgreSQL does, with its keys in another order."""
    return json.loads(json.dumps(body, sort_keys=True))


def stored(body: dict[str, Any]) -> App:
    return stored_app(digest(body), body)


def test_a_role_is_read_with_amounts_in_units_and_files_inlined():
    head = engine().role("head")
    assert (head.minimum, head.default, head.overhead) == (
        Amounts(cpu=500, memory=GI),
        Amounts(cpu=500, memory=GI),
        300 * 2**20,
    )
    assert head.files == (
        File("conf/key", "key={secret.key}\n", OnChange.RESTART),
        File("conf/log", "level={setting.level}\n"),
    )


def test_a_stored_app_is_read_back_unchanged():
    assert stored(as_stored(app_body(engine()))) == engine()


def test_roles_keep_their_order_when_stored():
    body = as_stored(app_body(engine()))
    assert [role.name for role in stored(body).roles] == ["head", "worker", "notebook"]


def test_a_stored_body_has_its_format():
    assert app_body(engine())["format"] == STORED_FORMAT


def test_stored_amounts_are_integers_of_the_base_unit():
    head, worker, _ = app_body(engine())["roles"]
    assert head["minimum"] == {"cpu": 500, "memory": GI, "gpu": 0, "storage": 0}
    assert head["overhead"] == 300 * 2**20
    assert worker["default"]["memory"] == 2 * GI


@pytest.mark.parametrize("amount", ["500m", "1", 0.5, -1, 10**9 + 1])
def test_an_invalid_stored_amount_is_refused(amount):
    with pytest.raises(Invalid) as refusal:
        stored(spoilt(app_body(engine()), "/roles/0/minimum/cpu", amount))
    assert refusal.value.errors[0]["pointer"] == "/roles/0/minimum/cpu"


def test_the_digest_does_not_depend_on_the_order_of_keys():
    body = app_body(engine())
    assert digest(as_stored(body)) == digest(body)
    assert digest({**body, "title": "Motor"}) != digest(body)


UNREADABLE = [
    ("/format", 2),
    ("/name", "Engine"),
    ("/name", "x" * 41),
    ("/name", None),
    ("/version", 4.3),
    ("/version", "../1"),
    ("/version", ""),
    ("/title", ""),
    ("/title", "two\nlines"),
    ("/description", "nul\0"),
    ("/surprise", 1),
    ("/secrets", ["Key"]),
    ("/secrets", "key"),
    ("/roles", {}),
    ("/roles", []),
    ("/roles", 3),
    ("/roles/worker", {"runtime": "plain"}),
    ("/roles/worker/surprise", 1),
    ("/roles/worker/runtime", "none"),
    ("/roles/worker/command", []),
    ("/roles/worker/command", "work"),
    ("/roles/worker/command", [1]),
    ("/roles/worker/min_count", -1),
    ("/roles/worker/min_count", True),
    ("/roles/worker/max_count", 0),
    ("/roles/worker/max_count", 1001),
    ("/roles/worker/critical", "yes"),
    ("/roles/worker/stop_seconds", 10**9),
    ("/roles/worker/when", "level"),
    ("/roles/worker/when", "unknown"),
    ("/roles/worker/minimum", {}),
    ("/roles/worker/minimum", {"memory": "1Gi"}),
    ("/roles/worker/minimum", {"cpu": 1, "memory": "1Gi", "clusters": 1}),
    ("/roles/worker/minimum", {"cpu": "1e30", "memory": "1Gi"}),
    ("/roles/worker/minimum", {"cpu": 1, "memory": "2Gib"}),
    ("/roles/worker/default", {"cpu": 1, "memory": "1Mi"}),
    ("/roles/worker/overhead", "1Gi"),
    ("/roles/worker/overhead", -1),
    ("/roles/worker/ports", {"rpc": 80}),
    ("/roles/worker/ports", {"rpc": "7078"}),
    ("/roles/worker/ports", {"R P C": 7078}),
    ("/roles/worker/env", {"A B": "x"}),
    ("/roles/worker/env", {"A": 1}),
    ("/roles/worker/env", {"A": "{secret.other}"}),
    ("/roles/worker/command/0", "{setting.other}"),
    ("/roles/worker/command/0", "{port.ui}"),
    ("/roles/worker/command/0", "{first.tail.address}"),
    ("/roles/worker/command/0", "{first.head.port.none}"),
    ("/roles/worker/command/0", "{peers.head.none}"),
    ("/roles/worker/command/0", "{runtime.java}"),
    ("/roles/worker/command/0", "{dir.root}"),
    ("/roles/worker/command/0", "{__class__}"),
    ("/roles/worker/command/0", "{"),
    ("/roles/head/files/0/path", "/etc/passwd"),
    ("/roles/head/files/0/path", "../key"),
    ("/roles/head/files/0/path", "conf/./key"),
    ("/roles/head/files/0/path", "conf//key"),
    ("/roles/head/files/0/content", "{secret.other}"),
    ("/roles/head/files/0/content", "x" * (256 * 1024 + 1)),
    ("/roles/head/files/0/on_change", "panic"),
    ("/roles/head/files/1/source", "conf/none"),
    ("/roles/head/services/web/port", "none"),
    ("/roles/head/services/web/scheme", "ftp"),
    ("/roles/head/services/web/path", "lab"),
    ("/roles/head/services/web/path", "//elsewhere"),
    ("/roles/head/services/web/token", "none"),
    ("/roles/head/services/web/metrics", ["metrics"]),
    ("/roles/head/hooks/ready", "hooks/none"),
    ("/roles/head/hooks/ready", "conf/log"),
    ("/roles/head/hooks/surprise", "hooks/ready"),
    ("/runtimes/plain/surprise", 1),
    ("/runtimes/plain/python", ["--index-url=x"]),
    ("/runtimes/plain/java", "17"),
    ("/runtimes/plain/prepare", "conf/log"),
    ("/settings/level", {"type": "string"}),
    ("/settings/Level", {"type": "string", "default": ""}),
    ("/assets/0/path", "../hooks/ready"),
    ("/assets/0/content", "\ud800"),
    ("/assets/0/executable", 1),
]


# Broken field -> prefix of the pointer in the refusal, where two fields contradict each other.
BLAMED = {"/roles/worker/overhead": "/roles/worker/", "/roles/head/files/0/content": "/roles/head/files/0"}


@pytest.mark.parametrize(("pointer", "value"), UNREADABLE, ids=lambda part: str(part)[:40])
def test_an_invalid_field_is_refused_with_its_pointer(pointer, value):
    with pytest.raises(Invalid) as refusal:
        parse_app(spoilt(engine_body(), pointer, value))
    found = refusal.value.errors[0]["pointer"]
    assert found.startswith(BLAMED.get(pointer, pointer))


@pytest.mark.parametrize("field", ["name", "version", "title", "roles", "runtimes"])
def test_a_missing_required_field_is_refused(field):
    body = engine_body()
    del body[field]
    with pytest.raises(Invalid) as refusal:
        parse_app(body)
    assert refusal.value.errors == [{"pointer": f"/{field}", "detail": "This field is required."}]


def test_a_file_has_content_or_a_source_and_not_both():
    body = engine_body()
    body["roles"]["head"]["files"][0]["source"] = "conf/log"
    with pytest.raises(Invalid, match="either content or source"):
        parse_app(body)


@pytest.mark.parametrize("path", ["conf/log", "conf/log/deeper", "conf"])
def test_assets_with_conflicting_paths_are_refused(path):
    body = engine_body()
    body["assets"].append({"path": path, "content": ""})
    with pytest.raises(Invalid, match="twice, or is below another file"):
        parse_app(body)


def test_two_roles_of_one_name_are_refused():
    body = app_body(engine())
    body["roles"].append(body["roles"][0])
    with pytest.raises(Invalid) as refusal:
        stored(body)
    assert refusal.value.errors[0]["pointer"] == "/roles/3/name"


def test_the_total_size_of_an_app_is_limited():
    body = engine_body()
    body["assets"] += [{"path": f"big/{number}", "content": "x" * 250_000} for number in range(5)]
    with pytest.raises(Invalid, match="in all"):
        parse_app(body)


def test_the_number_of_entries_is_limited():
    too_many = {
        "/secrets": [f"s{number}" for number in range(21)],
        "/assets": [{"path": f"a/{number}", "content": ""} for number in range(201)],
        "/roles/worker/ports": {f"p{number}": 2000 + number for number in range(51)},
        "/roles/worker/env": {f"E{number}": "" for number in range(101)},
        "/roles/worker/command": ["x"] * 201,
    }
    for pointer, value in too_many.items():
        with pytest.raises(Invalid, match=r"At most|Must have"):
            parse_app(spoilt(engine_body(), pointer, value))


def test_a_pointer_is_escaped_and_cut():
    with pytest.raises(Invalid) as refusal:
        parse_app({"a/b~c\n" + "x" * 10**6: 1})
    pointer = refusal.value.errors[0]["pointer"]
    assert pointer.startswith("/a~1b~0c?x")
    assert len(pointer) < 100


def test_a_deeply_nested_document_is_refused():
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    for place in chain(["/name", "/roles", "/secrets"], ["/settings/level/default", "/roles/worker/env/A"]):
        with pytest.raises(Invalid):
            parse_app(spoilt(spoilt(engine_body(), "/roles/worker/env", {}), place, deep))
