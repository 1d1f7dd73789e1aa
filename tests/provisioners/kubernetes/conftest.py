from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.settings import Reach
from tests.kube.cluster import kubeconfig
from tests.kube.registry import registry
from tests.provisioners.kubernetes.api_server import ApiServer, api_server

__all__ = ["kubeconfig", "registry"]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """A fake API server, for failures that a real one does not show on demand."""
    with api_server() as server:
        yield server


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("good\n")
    return file


@pytest.fixture
def client(api: ApiServer, token_file: Path) -> Client:
    return Client(Reach(server=api.url, token_file=str(token_file)), purpose="test")
