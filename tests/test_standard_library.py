"""Programs that run without installed packages import only the standard library; import-linter checks only some."""

import ast
import sys

import pytest

from controlplane.standalone.installation.environment import ROOT

# manage.py runs before .venv exists, netpol.py by `python -I` on the node, the others while an image is built.
PROGRAMS = (
    "manage.py",
    "deploy/devkube/netpol.py",
    "deploy/images/build/fetch-jars",
    "deploy/images/build/slim.py",
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_imports_only_the_standard_library(program: str) -> None:
    nodes = list(ast.walk(ast.parse((ROOT / program).read_text())))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"__future__"}
