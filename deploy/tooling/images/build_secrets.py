"""Settings by which this machine reaches packages. A build gets them as secrets, so that no image contains them."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

RELEASE = "bookworm"
BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Settings of the index and the network. Settings that name a folder of this machine are left out.
PIP_SETTINGS = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries"}
_PIP_LINE = re.compile(r"(?P<section>[\w:-]+)\.(?P<name>[\w-]+)='(?P<value>.*)'")
_APT_LINE = re.compile(r'Acquire::(https?::|ftp::|Check-|Retries|ForceIPv)[^ ]* ".+";')


def secrets(folder: Path) -> dict[str, Path]:
    """Returns the files of the secrets by id, without empty ones. Some are made in `folder`, which is private."""
    named = [Path(os.environ[name]) for name in BUNDLES if os.environ.get(name)]
    bundle = next((path for path in [*named, SYSTEM_BUNDLE] if path.is_file()), None)
    maven = Path.home() / ".m2" / "settings.xml"
    found = {"ca": bundle, "maven": maven if maven.is_file() else None}
    texts = {
        "pip": pip_settings(),
        "apt": apt_settings(),
        "sources": "".join(f"{line}\n" for line in apt_sources()),
    }
    for name, text in texts.items():
        path = folder / name
        path.write_text(text)
        found[name] = path if text else None
    return {name: path for name, path in found.items() if path}


def debian_mirror() -> str:
    """Returns the URL of this machine's Debian mirror; "" when it does not run the base's release."""
    lines = [line.split() for line in apt_sources()]
    return next((site for _, site, release, _ in lines if release == RELEASE), "")


def apt_sources() -> list[str]:
    """Returns the lines of a sources.list; none on a machine of another release."""
    wanted = ["Created-By: Packages", "Origin: Debian"]
    lines = _output_lines(
        ["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", *wanted]
    )
    return [line for line in lines if line.split()[2].startswith(RELEASE)]


def apt_settings() -> str:
    return "".join(f"{line}\n" for line in _output_lines(["apt-config", "dump"]) if _APT_LINE.fullmatch(line))


def pip_settings() -> str:
    """Returns pip's configuration, from its files and variables, as the text of one file."""
    lines = _output_lines([sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"])
    found = [match for line in lines if (match := _PIP_LINE.fullmatch(line))]
    # Later ones win: the section of a command overrides the global one, and variables override both.
    found.sort(key=lambda match: (match["section"] != "global") + (match["section"] == ":env:"))
    chosen = {match["name"]: match["value"] for match in found if match["name"] in PIP_SETTINGS}
    if not chosen:
        return ""
    settings = "".join(f"{name} = {value}\n" for name, value in sorted(chosen.items()))
    return "[global]\n" + settings.replace("\\n", "\n    ")


def _output_lines(command: list[str]) -> list[str]:
    """Returns the non-empty lines of output; none when the program does not exist."""
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
    except FileNotFoundError:
        return []
    return [line for line in done.stdout.splitlines() if line.strip()]
