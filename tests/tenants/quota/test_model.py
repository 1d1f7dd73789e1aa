"""Random sequences of all changes of claims and limits, compared with a model of a few lines."""

from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tenants import quota
from tenants.amounts import RESOURCES, ZERO, Amounts
from tenants.errors import QuotaExceeded
from tenants.ids import new_id
from tenants.models import Claim, Holding, Limit
from tests.cast import cast

OWNERS = [new_id() for _ in range(4)]
amounts = st.builds(Amounts, *[st.integers(0, 3)] * 5)
limits = st.dictionaries(st.sampled_from(RESOURCES), st.none() | st.integers(0, 6), min_size=1)
owners = st.integers(0, len(OWNERS) - 1)


class Ledger(RuleBasedStateMachine):
    """Owners 0 and 1 are bob's, 2 and 3 are alice's."""

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.atomic()
        self.point.__enter__()
        self.people = cast()
        self.users = [self.people.bob.pk] * 2 + [self.people.alice.pk] * 2
        self.claims = [ZERO] * len(OWNERS)
        self.limits: dict[UUID | None, dict[str, int | None]] = {
            scope: dict.fromkeys(RESOURCES) for scope in (None, *self.users)
        }

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.point.__exit__(None, None, None)

    def held(self, scope: UUID | None) -> Amounts:
        mine = [c for c, user in zip(self.claims, self.users, strict=True) if scope in (None, user)]
        return sum(mine, ZERO)

    def shorts(self, owner: int, wanted: Amounts) -> set[tuple[str, str]]:
        change = wanted - self.claims[owner]
        return {
            ("member" if scope else "tenant", resource)
            for scope in (None, self.users[owner])
            for resource in RESOURCES
            if change[resource] > 0
            and (limit := self.limits[scope][resource]) is not None
            and self.held(scope)[resource] + change[resource] > limit
        }

    @rule(owner=owners, wanted=amounts)
    def claim(self, owner: int, wanted: Amounts) -> None:
        shorts = self.shorts(owner, wanted)
        foreseen = self.foreseen(owner, wanted)
        try:
            quota.claim_set(
                owner_id=OWNERS[owner],
                tenant_id=self.people.acme.pk,
                user_id=self.users[owner],
                label=f"etl-{owner}",
                site="local",
                amounts=wanted,
            )
        except QuotaExceeded as refusal:
            levels = {(level["scope"], level["resource"]) for level in refusal.extra["levels"]}
            assert levels == shorts == foreseen
        else:
            assert not shorts
            assert not foreseen
            self.claims[owner] = wanted

    def foreseen(self, owner: int, wanted: Amounts) -> set[tuple[str, str]]:
        levels = quota.preview(
            tenant_id=self.people.acme.pk,
            user_id=self.users[owner],
            owner_id=OWNERS[owner],
            amounts=wanted,
        )
        return {(level["scope"], level["resource"]) for level in levels if level["short_by"] not in ("0", 0)}

    @rule(owner=owners)
    def release(self, owner: int) -> None:
        quota.claim_release(owner_id=OWNERS[owner])
        self.claims[owner] = ZERO

    @rule(scope=st.sampled_from([None, 0, 2]), changes=limits)
    def limit(self, scope: int | None, changes: dict[str, int | None]) -> None:
        user_id = None if scope is None else self.users[scope]
        answer = quota.limits_put(tenant_id=self.people.acme.pk, user_id=user_id, limits=changes)
        self.limits[user_id] |= changes
        over = {
            resource
            for resource, value in self.limits[user_id].items()
            if value is not None and self.held(user_id)[resource] > value
        }
        assert {entry["resource"] for entry in answer.over} == over

    @invariant()
    def ledger_is_the_model(self) -> None:
        for row in Limit.objects.filter(tenant=self.people.acme):
            assert row.held == self.held(row.user_id)
        wanted = {o: c for o, c in zip(OWNERS, self.claims, strict=True) if c}
        assert {c.owner_id: c.amounts for c in Claim.objects.all()} == wanted
        assert {h.owner_id: h.amounts for h in Holding.objects.filter(ended_at=None)} == wanted
        assert quota.ledger_differences() == []


@pytest.mark.django_db
def test_the_ledger_does_what_the_model_does():
    run_state_machine_as_test(
        Ledger, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
