"""`manage.py lint`: style, types, locks, layers, migrations and settings."""

import subprocess

from controlplane.standalone.installation.environment import ROOT, python

# makemigrations also wants to ask a database, and `lint` has none.
NO_DATABASE = ("-W", "ignore:Got an error checking:RuntimeWarning")
CHECKS = {
    "ruff": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "types": ["-m", "mypy"],
    # pip installs the locks without resolving them, so it does not notice a package that is missing from them.
    "lock": ["-m", "pip", "check"],
    "dependencies": ["-m", "deploy.tooling.dependencies"],
    "layers": ["-c", "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"],
    "migrations": [*NO_DATABASE, "manage.py", "makemigrations", "--check", "--dry-run"],
    "django": ["manage.py", "check"],
}


def run_checks() -> int:
    """Run every check, also after one has failed. Returns 1 when one did, else 0."""
    failed = [
        name
        for name, arguments in CHECKS.items()
        if subprocess.run(python(*arguments), cwd=ROOT, check=False).returncode != 0
    ]
    print(f"failed: {', '.join(failed)}" if failed else f"{len(CHECKS)} checks passed", flush=True)
    return int(bool(failed))
