import pytest

from tests.provisioners.contract import ProvisionerContract
from tests.provisioners.machine import Machine


class TestLocalSite(ProvisionerContract):
    @pytest.fixture
    def bench(self, here: Machine) -> Machine:
        return here
