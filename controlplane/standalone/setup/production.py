"""`up --production-check`: refuses settings that are insecure for an installation with several users."""

import os
from pathlib import Path

from controlplane.standalone.installation.errors import ExpectedError

CHECKED = "SLIPWAY_PRODUCTION_CHECK"
"""A variable for the child that upgrades the database: it checks the registered sites."""
TRUE = {"1", "true", "yes", "on"}
SHORTEST_KEY = 32


def check_environment() -> None:
    """Raise ExpectedError with all insecure settings, each with what to do."""
    if found := insecure_settings():
        lines = "\n".join(f"  - {sentence}" for sentence in found)
        raise ExpectedError(f"Not fit for production:\n{lines}")


def insecure_settings() -> list[str]:
    hosts = {item.strip() for item in os.environ.get("SLIPWAY_ALLOWED_HOSTS", "").split(",")}
    verdicts = (
        (_on("SLIPWAY_DEBUG"), "SLIPWAY_DEBUG shows stack traces to visitors: unset it."),
        (
            not _on("SLIPWAY_SECURE_COOKIES"),
            "Sessions may travel in the clear: put TLS in front and set SLIPWAY_SECURE_COOKIES=1.",
        ),
        (
            _short("SLIPWAY_SECRET_KEY"),
            "SLIPWAY_SECRET_KEY can be guessed: unset it, or make it 32 random bytes.",
        ),
        (
            _short("SLIPWAY_INSTALLATION_KEY"),
            "SLIPWAY_INSTALLATION_KEY can be guessed: unset it, or make it 32 random bytes.",
        ),
        ("*" in hosts, "SLIPWAY_ALLOWED_HOSTS takes any host name: list the real ones."),
        (
            "0.0.0.0" in hosts,  # noqa: S104
            "SLIPWAY_ALLOWED_HOSTS has 0.0.0.0, which is no name of this service: take it out.",
        ),
        (_on("SLIPWAY_FAKE_SITE"), "The clusters of SLIPWAY_FAKE_SITE are not real: unset it."),
        (
            local_site_wanted(),
            "The local site runs every tenant's code as the owner of keys and database: set SLIPWAY_LOCAL_SITE=0.",
        ),
        (os.geteuid() == 0, "It runs as root, and so do local clusters: run it as a user of its own."),
    )
    return [sentence for insecure, sentence in verdicts if insecure]


def local_site_wanted() -> bool:
    """Whether `up` makes the local site when it does not exist."""
    return os.environ.get("SLIPWAY_LOCAL_SITE", "1").lower() in TRUE


def _on(name: str) -> bool:
    return os.environ.get(name, "").lower() in TRUE


def _short(name: str) -> bool:
    """Whether a key was given, by value or by file, and is too short."""
    if file := os.environ.get(f"{name}_FILE"):
        try:
            return len(Path(file).read_text().strip()) < SHORTEST_KEY
        except (OSError, ValueError) as error:
            raise ExpectedError(f"{name}_FILE names {file}, which cannot be read: {error}.") from error
    return 0 < len(os.environ.get(name, "")) < SHORTEST_KEY
