"""The audit by API: across tenants, by time, and as lines to keep elsewhere."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from controlplane.api.v1 import audit as views
from tests.api.api import ROOT, Answer
from tests.api.conftest import World


def lines(answer: Answer) -> list[dict[str, object]]:
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


def test_a_site_admin_sees_what_belongs_to_no_tenant(world: World) -> None:
    world.root.post(f"{ROOT}/users", {"username": "dora"})
    [event] = world.root.get(f"{ROOT}/audit?verb=user.create").body["items"]
    assert (event["tenant"], event["target"]) == (None, "user/dora")


def test_the_whole_audit_is_filtered_by_tenant_and_target(world: World) -> None:
    world.alice.put("members/bob", {"role": "viewer"})
    found = world.root.get(f"{ROOT}/audit?tenant=acme&target=member/bob").body["items"]
    assert [event["verb"] for event in found] == ["member.put"]
    assert world.root.get(f"{ROOT}/audit?tenant=globex&target=member/bob").body["items"] == []


def test_the_audit_is_filtered_by_time(world: World) -> None:
    world.alice.put("members/bob", {"role": "viewer"})
    for hours, count in ((-1, 1), (1, 0)):
        since = quote((datetime.now(UTC) + timedelta(hours=hours)).isoformat())
        assert len(world.alice.get(f"audit?verb=member.put&since={since}").body["items"]) == count
        until = world.alice.get(f"audit?verb=member.put&until={since}").body["items"]
        assert len(until) == 1 - count


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-31T12:00:00", "0001-01-01T00:00:00%2B23:00", ""])
def test_an_invalid_time_is_refused(world: World, moment: str) -> None:
    assert world.alice.get(f"audit?since={moment}").status == 400


def test_an_export_has_a_line_each_oldest_first(world: World) -> None:
    for role in ("viewer", "admin"):
        world.alice.put("members/bob", {"role": role})
    found = lines(world.alice.get("audit:export?verb=member.put"))
    assert [event["detail"]["role"] for event in found] == ["viewer", "admin"]  # type: ignore[index]


def test_a_long_export_names_its_next_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_EXPORTED", 2)
    for role in ("viewer", "admin", "member"):
        world.alice.put("members/bob", {"role": role})
    first = world.alice.get("audit:export?verb=member.put")
    link = first.headers["Link"].removeprefix("<").split(">")[0]
    rest = world.alice.get(link)
    assert (len(lines(first)), len(lines(rest)), "Link" in rest.headers) == (2, 1, False)


def test_reading_a_log_has_one_verb_in_the_console_and_the_api(world: World) -> None:
    world.ready("one")
    world.carol.get("clusters/one/nodes/hand-0/logs")
    world.carol.client.force_login(world.people.carol)
    world.carol.client.get("/t/acme/clusters/one/nodes/hand-0/log")
    events = world.alice.get("audit?actor=carol&outcome=denied").body["items"]
    assert [(event["via"], event["verb"]) for event in events] == [
        ("session", "node.logs"),
        ("token", "node.logs"),
    ]
