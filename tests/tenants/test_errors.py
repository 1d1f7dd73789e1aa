from tenants.errors import (
    Conflict,
    Invalid,
    KeyReused,
    NeedsRole,
    NotFound,
    PreconditionFailed,
    Refused,
    TooBusy,
)


def test_every_refusal_has_a_status_a_title_a_reason_and_a_sentence():
    kinds = [kind for kind in Refused.__subclasses__() if kind.__module__ == "tenants.errors"]
    assert len(kinds) == 11
    for kind in kinds:
        assert 400 <= kind.status < 600
        assert kind.title
        assert kind.default_reason == kind.default_reason.upper()


def test_not_found_does_not_repeat_the_request():
    assert NotFound().detail == NotFound(by_access=True).detail
    assert NotFound(by_access=True).extra == {}


def test_a_role_refusal_names_the_role_and_who_grants_it():
    refusal = NeedsRole("admin", granted_by="a site admin")
    assert refusal.extra == {"role": "admin", "granted_by": "a site admin"}
    assert "admin" in refusal.detail


def test_callers_prefix_pointers():
    inner = Invalid.at("/count", "Must be at least 1.")
    assert inner.prefixed("/groups/0").errors == [
        {"pointer": "/groups/0/count", "detail": "Must be at least 1."}
    ]


def test_a_single_fault_is_the_detail_too():
    assert Invalid.at("/name", "Too long.").detail == "Too long."
    assert Invalid("Send an object.").errors == [{"pointer": "", "detail": "Send an object."}]


def test_conflicts_carry_their_reason_and_further_members():
    refusal = Conflict("OPERATION_IN_PROGRESS", "Wait for it.", operation={"id": "1"})
    assert (refusal.status, refusal.reason, refusal.extra["operation"]) == (
        409,
        "OPERATION_IN_PROGRESS",
        {"id": "1"},
    )


def test_fixed_reasons():
    assert (PreconditionFailed().status, PreconditionFailed().reason) == (412, "ETAG_MISMATCH")
    assert (KeyReused().status, KeyReused().reason) == (422, "KEY_REUSED")
    assert TooBusy(retry_after=7).retry_after == 7
