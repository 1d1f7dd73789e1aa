from pathlib import Path

import pytest
import yaml

from templates.catalog import BadCatalog, load, load_templates
from tests.templates.examples import engine, engine_body


@pytest.fixture
def folder(tmp_path):
    """A catalogue folder with the app "engine": a YAML file, and a folder of assets beside it."""
    body = engine_body()
    for asset in body.pop("assets"):
        path = tmp_path / "engine" / asset["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(asset["content"])
        path.chmod(0o755 if asset.get("executable") else 0o644)
    (tmp_path / "engine.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    return tmp_path


def test_an_app_is_loaded_from_its_file_and_its_folder(folder):
    (app,) = load(folder)
    assert set(app.assets) == set(engine().assets)
    assert app.roles == engine().roles


def test_bytecode_files_are_no_assets(folder):
    (folder / "engine" / "__pycache__").mkdir()
    (folder / "engine" / "__pycache__" / "hook.pyc").write_bytes(b"\xff")
    assert len(load(folder)[0].assets) == 2


def test_an_app_without_assets_needs_no_folder(tmp_path):
    body = engine_body()
    body |= {
        "name": "bare",
        "assets": [],
        "roles": {"worker": body["roles"]["worker"]},
        "runtimes": {"plain": {}},
    }
    body["roles"]["worker"]["command"] = ["work"]
    del body["assets"]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(body))
    assert [app.name for app in load(tmp_path)] == ["bare"]


def test_the_file_of_templates_is_no_app(folder):
    (folder / "templates.yaml").write_text("engine: {app: engine, groups: []}\n")
    assert [app.name for app in load(folder)] == ["engine"]
    assert load_templates(folder) == {"engine": {"app": "engine", "groups": []}}


@pytest.mark.parametrize("text", ["engine: {groups: []}", "engine: {app: {name: engine}}", "engine: 3"])
def test_a_template_that_names_no_app_is_refused(tmp_path, text):
    (tmp_path / "templates.yaml").write_text(text)
    with pytest.raises(BadCatalog, match=r"templates\.yaml: /engine/app"):
        load_templates(tmp_path)


def spoil(folder: Path, old: str, new: str) -> None:
    path = folder / "engine.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: engine", "name: motor", "/name: must be engine"),
        ("version: '1.0'", "version: 1.0", "/version: Must be text"),
        ("title: Engine", "title: Engine\ntitle: Motor", "the key 'title' occurs twice"),
        ("title: Engine", "title: Engine\nassets: []", "/assets"),
        ("title: Engine", "title: [", "engine.yaml"),
        ("title: Engine", "title: !!python/object:os.system x", "engine.yaml"),
        ("hooks/ready", "hooks/none", "/roles/head/hooks/ready|/runtimes/base/prepare"),
        ("cpu: 500m", "cpu: 500x", "/roles/head/minimum/cpu"),
    ],
)
def test_an_error_names_the_file_and_the_field(folder, old, new, says):
    spoil(folder, old, new)
    with pytest.raises(BadCatalog, match=says):
        load(folder)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(BadCatalog, match=r"list\.yaml: must be a mapping"):
        load(tmp_path)


def test_a_hook_that_lost_its_executable_bit_is_refused(folder):
    (folder / "engine" / "hooks" / "ready").chmod(0o644)
    with pytest.raises(BadCatalog, match="not executable"):
        load(folder)


def test_a_binary_asset_is_refused(folder):
    (folder / "engine" / "logo").write_bytes(b"\x89PNG\xff")
    with pytest.raises(BadCatalog, match="UTF-8"):
        load(folder)


def test_an_asset_that_is_a_link_is_refused(folder):
    (folder / "engine" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(BadCatalog, match="a file, not a link"):
        load(folder)
