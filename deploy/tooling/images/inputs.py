"""The inputs of an image: the build context, the build arguments, and a digest of both."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.provisioners.local.runtimes.install import PIP
from templates import locks
from templates.schema import App, Runtime

SOURCES = Path(__file__).resolve().parents[2] / "images"
# The Java release of Debian 12, which the base is made of.
JAVA = 17
# Each layer is made from one folder of the context: argument of its digest -> folder.
LAYERS = {"BUILD": "build", "COMMON": "locks/common", "OWN": "locks/own", "APP": "app"}


class NoImage(ValueError):  # noqa: N818 - like Invalid and NotFound
    """The runtime cannot become an image; the message says why."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """files: path in the build context -> content, executable or not. arguments: build arguments by name."""

    files: Mapping[str, tuple[bytes, bool]]
    arguments: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The sha256 as hexadecimal digits. Equal inputs have equal digests on every machine."""
        return _sha256(json.dumps([self._listing(""), sorted(self.arguments.items())]))

    @property
    def layer_digests(self) -> dict[str, str]:
        """Build arguments with a digest of each layer's files: builders ignore mounted files in their cache."""
        return {
            f"{name}_DIGEST": _sha256(json.dumps(self._listing(place)))[:12] for name, place in LAYERS.items()
        }

    def _listing(self, place: str) -> list[tuple[str, bool, str]]:
        files = sorted(self.files.items())
        return [(path, runs, _sha256(content)) for path, (content, runs) in files if path.startswith(place)]

    def write(self, folder: Path) -> None:
        """Write the build context into `folder`, which is new or empty."""
        for place in LAYERS.values():
            (folder / place).mkdir(parents=True)
        for path, (content, executable) in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if executable else 0o644)


def wanted(runtime: Runtime) -> list[str]:
    """Returns the Python packages of the catalogue, and pip, which users expect in every runtime."""
    return sorted({*runtime.python, PIP})


def gather(app: App, runtime: Runtime, base: str) -> Inputs:
    """Returns the inputs of the image of this runtime. Raises NoImage."""
    if runtime.java > JAVA:
        raise NoImage(f"{app.name} needs Java {runtime.java}, and images have Java {JAVA}.")
    arguments = {
        "APP": app.name,
        "VERSION": app.version,
        "RUNTIME": runtime.name,
        "BASE": base,
        "JAVA": str(JAVA) if runtime.java else "",
        "PREPARE": runtime.prepare,
    }
    return Inputs({**_ours(), **_locks(app, runtime), **_assets(app, runtime)}, arguments)


def _ours() -> dict[str, tuple[bytes, bool]]:
    scripts = {f"build/{path.name}": path for path in sorted((SOURCES / "build").iterdir()) if path.is_file()}
    paths = {"Containerfile": SOURCES / "Containerfile", **scripts}
    return {name: (path.read_bytes(), bool(path.stat().st_mode & 0o100)) for name, path in paths.items()}


def _locks(app: App, runtime: Runtime) -> dict[str, tuple[bytes, bool]]:
    """Returns the wanted packages of the app, and its lock where the catalogue has one."""
    texts = {
        "locks/common/wanted.txt": f"{PIP}\n",
        "locks/own/wanted.txt": "".join(f"{line}\n" for line in wanted(runtime)),
    }
    if own := locks.own(app.name):
        texts["locks/common/locked.txt"] = locks.COMMON.read_text()
        texts["locks/own/locked.txt"] = own.read_text()
    if (jars := locks.FOLDER / f"{app.name}.jars").exists():
        texts["locks/own/jars.txt"] = jars.read_text()
    return {name: (text.encode(), False) for name, text in texts.items()}


def _assets(app: App, runtime: Runtime) -> dict[str, tuple[bytes, bool]]:
    """Returns all files of the app if it has a prepare step, which may use any of them; none otherwise."""
    if not runtime.prepare:
        return {}
    return {f"app/{asset.path}": (asset.content.encode(), asset.executable) for asset in app.assets}


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
