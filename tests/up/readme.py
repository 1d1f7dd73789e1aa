"""Reads the shell blocks of the README."""

import re

from tests.journeys.service import ROOT


def block(first_words: str) -> str:
    """The code block of the README that begins with these words."""
    text = (ROOT / "README.md").read_text()
    [found] = [each for each in re.findall(r"```\n(.*?)```", text, re.DOTALL) if each.startswith(first_words)]
    return str(found)
