"""The check of declared dependencies, applied to a small project."""

from pathlib import Path

import pytest

from deploy.tooling import dependencies


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for package in ("controlplane", "templates", "tenants", "tests"):
        (tmp_path / package).mkdir()
    (tmp_path / "controlplane" / "settings.py").write_text(
        'MIDDLEWARE = ["whitenoise.middleware.WhiteNoise"]\n'
    )
    (tmp_path / "tenants" / "one.py").write_text("import yaml\nfrom rich.table import Table\n")
    (tmp_path / "tests" / "test_one.py").write_text("import httpx\n")
    _declare(tmp_path, ["pyyaml>=6", "rich", "whitenoise"], ["httpx"])
    return tmp_path


def _declare(project: Path, run: list[str], dev: list[str]) -> None:
    text = f"[project]\ndependencies = {run}\n[dependency-groups]\ndev = {dev}\n"
    (project / "pyproject.toml").write_text(text)


def test_the_dependencies_of_this_project_are_declared() -> None:
    assert dependencies.problems() == []


def test_imported_packages_and_those_named_in_settings_are_accepted(project: Path) -> None:
    assert dependencies.problems(project) == []


@pytest.mark.parametrize(
    ("run", "dev", "expected"),
    [
        (["pyyaml", "rich", "whitenoise", "httpx"], [], "httpx is a run-time dependency, and the product"),
        (["pyyaml", "whitenoise"], ["httpx"], "rich is imported by the product, and no run-time dependency"),
        (["pyyaml", "rich", "whitenoise"], [], "httpx is imported by tests, and no dependency"),
    ],
)
def test_an_unused_or_undeclared_package_is_named(
    project: Path, run: list[str], dev: list[str], expected: str
) -> None:
    _declare(project, run, dev)
    [problem] = dependencies.problems(project)
    assert problem.startswith(expected)


def test_imports_for_types_do_not_count(project: Path) -> None:
    code = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import selenium\n"
    (project / "templates" / "typed.py").write_text(code)
    assert dependencies.problems(project) == []
