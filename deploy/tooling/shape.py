"""`manage.py lint --shape`: how the product is cut. It is printed for people and never makes a check fail."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

PRODUCT = ("tenants", "templates", "controlplane")
LONG_FILE = 300
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Helper:
    """A private function with one caller. lines: of the whole function."""

    path: Path
    line: int
    name: str
    lines: int


@dataclass(slots=True)
class Shape:
    """Counts over Python files. lengths: lines of each function. long_files: path and lines of each."""

    files: int = 0
    lines: int = 0
    lengths: list[int] = field(default_factory=list)
    helpers: list[Helper] = field(default_factory=list)
    long_files: list[tuple[Path, int]] = field(default_factory=list)
    public: int = 0
    documented: int = 0

    def report(self, root: Path) -> str:
        """Some lines of text, with paths relative to root. Needs at least two functions."""
        functions, single = len(self.lengths), len(self.helpers)
        p90 = quantiles(self.lengths, n=10, method="inclusive")[8]
        longest_first = sorted(self.long_files, key=lambda entry: -entry[1])
        shortest_first = sorted(self.helpers, key=lambda helper: (helper.lines, helper.path, helper.line))
        return "\n".join(
            [
                *(f"{path.relative_to(root)}: {lines} lines" for path, lines in longest_first),
                "",
                *(
                    f"{helper.path.relative_to(root)}:{helper.line}: {helper.name} has one caller, {helper.lines} lines"
                    for helper in shortest_first
                ),
                "",
                f"files: {self.files}, {len(self.long_files)} of them over {LONG_FILE} lines",
                f"lines: {self.lines}",
                f"functions: {functions}, median {median(self.lengths):.0f} lines, p90 {p90:.0f}",
                f"private functions with one caller: {single} ({single / functions:.1%})",
                f"public functions with a docstring: {self.documented} ({self.documented / self.public:.0%})",
            ]
        )


def measure(folders: Sequence[Path]) -> Shape:
    """Measure all Python files below the folders, without migrations."""
    shape = Shape()
    for path in sorted(
        path for folder in folders for path in folder.rglob("*.py") if "migrations" not in path.parts
    ):
        text = path.read_text()
        shape.files += 1
        shape.lines += (lines := text.count("\n"))
        if lines > LONG_FILE:
            shape.long_files.append((path, lines))
        _measure_functions(shape, path, ast.parse(text))
    return shape


def _measure_functions(shape: Shape, path: Path, tree: ast.Module) -> None:
    # A private function is used in its own file only, so its callers are the other mentions of its name there.
    mentions = Counter(_names(tree))
    for node in ast.walk(tree):
        if not isinstance(node, Function):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        shape.lengths.append(length)
        if not node.name.startswith("_"):
            shape.public += 1
            shape.documented += ast.get_docstring(node) is not None
        elif not node.name.startswith("__") and mentions[node.name] == 1 and not node.decorator_list:
            shape.helpers.append(Helper(path, node.lineno, node.name, length))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
