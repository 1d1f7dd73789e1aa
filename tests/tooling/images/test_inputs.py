"""The inputs of an image follow the catalogue, name exact packages, and have one digest."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.tooling.images.inputs import SOURCES, Inputs, NoImage, gather, wanted
from templates import locks
from templates.catalog import load
from templates.schema import App, Asset, Runtime

BASE = "localhost/base:1"
APPS = {app.name: app for app in load()}


@pytest.fixture(params=sorted(APPS))
def app(request: pytest.FixtureRequest) -> App:
    return APPS[request.param]


def text(inputs: Inputs, path: str) -> str:
    return inputs.files[path][0].decode()


def pins(lock: str) -> dict[str, str]:
    """Package -> version."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", lock, re.MULTILINE))


def tiny(runtime: Runtime, *assets: Asset) -> App:
    return App("tiny", "1", "Tiny", "", roles=(), runtimes=(runtime,), assets=assets)


# -- packages -----------------------------------------------------------------------------------------------------


def test_it_asks_for_what_the_catalogue_names(app: App):
    inputs = gather(app, app.runtimes[0], BASE)
    assert set(app.runtimes[0].python) < set(text(inputs, "locks/own/wanted.txt").splitlines())


def test_chosen_versions_are_allowed_by_the_catalogue(app: App):
    inputs = gather(app, app.runtimes[0], BASE)
    chosen = pins(text(inputs, "locks/common/locked.txt")) | pins(text(inputs, "locks/own/locked.txt"))
    for line in wanted(app.runtimes[0]):
        requirement = Requirement(line)
        assert requirement.specifier.contains(chosen[requirement.name]), line


def test_each_package_is_chosen_once(app: App):
    inputs = gather(app, app.runtimes[0], BASE)
    assert not pins(text(inputs, "locks/common/locked.txt")).keys() & pins(
        text(inputs, "locks/own/locked.txt")
    )


def test_every_choice_has_a_hash(app: App):
    for name in ("locks/common/locked.txt", "locks/own/locked.txt"):
        lock = text(gather(app, app.runtimes[0], BASE), name)
        assert len(pins(lock)) == len(re.findall(r"^\S", lock, re.MULTILINE))
        assert len(re.findall(r"^\S.*\\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)) == len(
            pins(lock)
        )


def test_a_custom_app_gets_its_packages():
    inputs = gather(
        tiny(Runtime("plain", python=("httpx>=0.28",))), Runtime("plain", python=("httpx>=0.28",)), BASE
    )
    assert "httpx>=0.28\n" in text(inputs, "locks/own/wanted.txt")
    assert not [path for path in inputs.files if path.endswith("locked.txt")]


def test_only_spark_gets_jars(app: App):
    assert ("locks/own/jars.txt" in gather(app, app.runtimes[0], BASE).files) == (app.name == "spark")


def test_every_jar_is_named_with_its_digest():
    lines = (locks.FOLDER / "spark.jars").read_text().splitlines()
    assert len(lines) == 36
    assert all(re.fullmatch(r"[0-9a-f]{64} [\w.-]+:[\w.-]+:[\w.-]+", line) for line in lines)


def test_no_file_of_the_build_names_a_host():
    files = [path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(files) > 10
    assert [path.name for path in files if re.search(rb"https?://(?!127\.)", path.read_bytes())] == []


def test_a_java_that_the_base_lacks_is_refused():
    runtime = Runtime("new", java=21)
    with pytest.raises(NoImage, match="tiny needs Java 21"):
        gather(tiny(runtime), runtime, BASE)


# -- the digest ---------------------------------------------------------------------------------------------------


def digest(runtime: Runtime, *assets: Asset, base: str = BASE) -> str:
    return gather(tiny(runtime, *assets), runtime, base).digest


def test_equal_inputs_have_equal_digests():
    assert digest(Runtime("plain")) == digest(Runtime("plain"))


@pytest.mark.parametrize(
    "other",
    [
        digest(Runtime("plain", python=("httpx",))),
        digest(Runtime("plain", java=17)),
        digest(Runtime("other")),
        digest(Runtime("plain"), base="localhost/base:2"),
        digest(Runtime("plain", prepare="prepare"), Asset("prepare", "#!/bin/sh\n", executable=True)),
    ],
    ids=["packages", "java", "name", "base", "preparation"],
)
def test_every_input_changes_it(other: str):
    assert other != digest(Runtime("plain"))


def test_an_asset_changes_it_where_the_build_may_use_it():
    one, other = Asset("hooks/ready", "one"), Asset("hooks/ready", "other")
    assert digest(Runtime("plain", prepare="p"), one) != digest(Runtime("plain", prepare="p"), other)
    assert digest(Runtime("plain"), one) == digest(Runtime("plain"), other)


def test_only_layers_with_changed_inputs_are_built_again():
    spark = APPS["spark"]
    changed = replace(spark, assets=(*spark.assets, Asset("hooks/new", "")))
    before, after = (gather(each, each.runtimes[0], BASE).layer_digests for each in (spark, changed))
    assert {name for name in before if before[name] != after[name]} == {"APP_DIGEST"}


# -- the folder ---------------------------------------------------------------------------------------------------


def test_the_folder_has_what_the_containerfile_mounts(app: App, tmp_path: Path):
    gather(app, app.runtimes[0], BASE).write(tmp_path)
    mounted = re.findall(r"source=([\w/]+)", (tmp_path / "Containerfile").read_text())
    assert len(mounted) > 5
    assert [place for place in mounted if not (tmp_path / place).is_dir()] == []


def test_scripts_stay_executable(tmp_path: Path):
    gather(APPS["spark"], APPS["spark"].runtimes[0], BASE).write(tmp_path)
    modes = [
        (tmp_path / name).stat().st_mode & 0o777 for name in ("build/finish", "app/prepare", "Containerfile")
    ]
    assert modes == [0o755, 0o755, 0o644]


def test_the_build_takes_every_argument():
    spark = gather(APPS["spark"], APPS["spark"].runtimes[0], BASE)
    known = set(re.findall(r"^ARG (\w+)", text(spark, "Containerfile"), re.MULTILINE))
    assert spark.arguments.keys() | spark.layer_digests.keys() <= known
