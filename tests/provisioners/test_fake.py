from dataclasses import dataclass, field

import pytest

from controlplane.provisioners.base import ClusterRef
from controlplane.provisioners.fake import FakeProvisioner
from tests.provisioners.contract import ProvisionerContract


@dataclass
class FakeBench:
    site: FakeProvisioner = field(default_factory=FakeProvisioner)

    def break_node(self, of: ClusterRef, name: str) -> None:
        self.site.end_node(of.id, name)

    def lose_data(self, of: ClusterRef) -> None:
        self.site.data_lost = True


class TestFakeSite(ProvisionerContract):
    @pytest.fixture
    def bench(self) -> FakeBench:
        return FakeBench()
