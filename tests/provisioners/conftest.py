from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioners.machine import Machine, machine


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    """A local site with nothing on it."""
    with machine(tmp_path / "site") as made:
        yield made
