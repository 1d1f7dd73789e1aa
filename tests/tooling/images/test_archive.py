"""A renamed archive contains the same image."""

import io
import json
import tarfile
from pathlib import Path

from deploy.tooling.images import archive


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def read(file: tarfile.TarFile, name: str) -> bytes:
    content = file.extractfile(name)
    assert content is not None
    return content.read()


def test_it_is_the_same_image_with_other_names(tmp_path: Path):
    manifest = [{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["l.tar"]}]
    files = {"l.tar": b"layer" * 1000, "c.json": b"{}", "manifest.json": json.dumps(manifest).encode()}
    before = write(tmp_path / "before.tar", files | {"repositories": b"{}"})
    archive.retag(before, tmp_path / "after.tar", ["new:1", "new:2"])
    with tarfile.open(tmp_path / "after.tar") as file:
        assert file.getnames() == ["l.tar", "c.json", "manifest.json"]
        assert read(file, "l.tar") == files["l.tar"]
        assert json.loads(read(file, "manifest.json")) == [{**manifest[0], "RepoTags": ["new:1", "new:2"]}]
    assert archive.tags(tmp_path / "after.tar") == ["new:1", "new:2"]
