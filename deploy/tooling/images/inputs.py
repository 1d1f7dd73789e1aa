"""All that decides what is in an image: the folder that it is built in, its arguments, and a digest of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.provisioners.local.install import PIP
from templates import locks
from templates.schema import App, Runtime

SOURCES = Path(__file__).resolve().parents[2] / "images"
# The only release that the base has.
JAVA = 17
# The folders that layers are made from.
PLACES = {"BUILD": "build", "COMMON": "locks/common", "OWN": "locks/own", "APP": "app"}


class NoImage(ValueError):  # noqa: N818 - read as a finding
    """This runtime cannot be made into an image; in one sentence."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """files: path in the folder -> content and whether it is executable. arguments: of the build, by name."""

    files: Mapping[str, tuple[bytes, bool]]
    arguments: Mapping[str, str]

    @property
    def digest(self) -> str:
        """sha256 in hexadecimal digits; equal inputs, equal digest, on every machine."""
        return _sha256(json.dumps([self._listing(""), sorted(self.arguments.items())]))

    @property
    def layer_digests(self) -> dict[str, str]:
        """More arguments of the build: what each layer is made of."""
        return {
            f"{name}_DIGEST": _sha256(json.dumps(self._listing(place)))[:12] for name, place in PLACES.items()
        }

    def _listing(self, place: str) -> list[tuple[str, bool, str]]:
        files = sorted(self.files.items())
        return [(path, runs, _sha256(content)) for path, (content, runs) in files if path.startswith(place)]

    def write(self, folder: Path) -> None:
        """Fill `folder`, which is new or empty, with what `buildah build` and `docker build` take."""
        for place in PLACES.values():
            (folder / place).mkdir(parents=True)
        for path, (content, executable) in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if executable else 0o644)


def wanted(runtime: Runtime) -> list[str]:
    """The Python packages that the catalogue asks for, and pip, which people use in every runtime."""
    return sorted({*runtime.python, PIP})


def gather(app: App, runtime: Runtime, base: str) -> Inputs:
    """What the image of this runtime is built from. Raises NoImage."""
    if runtime.java > JAVA:
        raise NoImage(f"{app.name} wants Java {runtime.java}; images are built with Java {JAVA}.")
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
    """Exact packages where they were chosen for this app; an app without such a list gets what it asks for."""
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
    """None where nothing of them runs in the build; otherwise all, for the app's last step may use any other."""
    if not runtime.prepare:
        return {}
    return {f"app/{asset.path}": (asset.content.encode(), asset.executable) for asset in app.assets}


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
