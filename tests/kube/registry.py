"""A private registry: the smallest OCI distribution server that containerd accepts. It requires a login."""

import base64
import hashlib
import io
import json
import secrets
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.devkube.node_images import ctr, trust
from deploy.devkube.settings import Devkube
from tests.kube.audit import devkube_for
from tests.provisioners.launching import IMAGE

USER, PASSWORD, WRONG = "puller", "correct-horse", "wrong-horse"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Served:
    """An image. id: the digest of its config, which identifies it on a node. blobs: digest -> content."""

    id: str
    manifest: bytes
    media_type: str
    blobs: dict[str, bytes]


class Registry(ThreadingHTTPServer):
    """Serves one image under every name. given: the paths of the requests with the right login."""

    daemon_threads = True

    def __init__(self, host: str, served: Served) -> None:
        super().__init__((host, 0), _Handler)
        self.served = served
        self.given: list[str] = []

    @property
    def address(self) -> str:
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    def image(self) -> str:
        """A new name with each call, so no machine has the image yet."""
        return f"{self.address}/private/{secrets.token_hex(4)}:1"

    def gave(self, image: str) -> bool:
        name = image.removeprefix(f"{self.address}/").partition(":")[0]
        return any(path.startswith(f"/v2/{name}/manifests/") for path in self.given)

    def login(self, folder: Path, *, password: str = PASSWORD) -> str:
        """Write a file as `docker login` does and return its path."""
        file = folder / "config.json"
        file.write_text(json.dumps({"auths": {self.address: {"auth": _encoded(password)}}}))
        return str(file)


@pytest.fixture(scope="module")
def registry(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    kube = devkube_for("a private registry")
    with _registry(kube, tmp_path_factory.mktemp("registry")) as made:
        yield made


@contextmanager
def _registry(kube: Devkube, folder: Path) -> Iterator[Registry]:
    """Run a registry on this machine's address of the devkube's link. Removes its images from the node at the end."""
    with Registry(f"{kube.link}.1", _served(kube, folder)) as registry:
        trust(kube, registry.address)
        thread = threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join()
            known = ctr(kube, "images", "ls", "-q").split()
            if pulled := [name for name in known if name.startswith((registry.address, registry.served.id))]:
                ctr(kube, "images", "rm", *pulled)


def _served(kube: Devkube, folder: Path) -> Served:
    """The devkube's busybox image with one random layer on top, which no machine has."""
    archive = folder / "image.tar"
    ctr(kube, "images", "export", str(archive), IMAGE)
    with tarfile.open(archive) as files:
        found = {member.name: _content(files, member) for member in files if member.isfile()}
    archive.unlink()
    blobs = {_digest(content): content for name, content in found.items() if name.startswith("blobs/")}
    index = json.loads(found["index.json"])
    manifest = json.loads(blobs[index["manifests"][0]["digest"]])
    config = json.loads(blobs[manifest["config"]["digest"]])
    layer = _layer()
    config["rootfs"]["diff_ids"].append(_digest(layer))
    changed = json.dumps(config).encode()
    manifest["layers"].append({"mediaType": LAYER, "digest": _digest(layer), "size": len(layer)})
    manifest["config"] |= {"digest": _digest(changed), "size": len(changed)}
    blobs |= {_digest(each): each for each in (layer, changed)}
    return Served(_digest(changed), json.dumps(manifest).encode(), manifest["mediaType"], blobs)


def _content(files: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    found = files.extractfile(member)
    assert found
    return found.read()


def _layer() -> bytes:
    layer, content = io.BytesIO(), secrets.token_bytes(16)
    with tarfile.open(fileobj=layer, mode="w") as files:
        entry = tarfile.TarInfo("etc/pulled")
        entry.size, entry.mode = len(content), 0o644
        files.addfile(entry, io.BytesIO(content))
    return layer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _encoded(password: str) -> str:
    return base64.b64encode(f"{USER}:{password}".encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        return

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Basic {_encoded(PASSWORD)}":
            self.reply(401, b"", {"WWW-Authenticate": 'Basic realm="private"'})
            return
        self.server.given.append(self.path)
        served, kind, name = self.server.served, *self.path.split("/")[-2:]
        if kind == "manifests":
            about = {"Content-Type": served.media_type, "Docker-Content-Digest": _digest(served.manifest)}
            self.reply(200, served.manifest, about)
        elif kind == "blobs" and name in served.blobs:
            self.reply(200, served.blobs[name], {"Content-Type": "application/octet-stream"})
        else:
            self.reply(200 if self.path == "/v2/" else 404, b"", {})

    do_HEAD = do_GET  # noqa: N815

    def reply(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
