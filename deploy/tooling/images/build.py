"""Builds images with buildah, in a storage of its own beside the archives. Other images are not touched."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.supervise.command import die_with_parent
from deploy.tooling.images import archive, base, build_secrets
from deploy.tooling.images.image import Image, cache

Say = Callable[[str], None]
TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap"}
LAST_LINES = 15
# Only these steps take time, so only these are printed.
_STEP = re.compile(r"STEP \d+/\d+: (RUN|COPY)")


def build(image: Image, say: Say) -> None:
    """Build the image unless its archive exists. Raises ExpectedError with the last lines of the build."""
    if image.built:
        return
    with _alone(say):
        if image.built:
            return
        provide_tools(TOOLS if base.is_ours(image.base) else {"buildah": TOOLS["buildah"]}, say)
        started = time.monotonic()
        with Buildah(image.beside("log"), say) as buildah, _scratch() as scratch:
            base.provide(image.base, buildah, scratch)
            _run(image, buildah, scratch)
            _keep(image, buildah, started)


def _run(image: Image, buildah: "Buildah", scratch: Path) -> None:
    context = scratch / "context"
    context.mkdir()
    image.inputs.write(context)
    arguments = {
        **image.inputs.arguments,
        **image.inputs.layer_digests,
        "INPUTS": image.digest,
        "BASE_DIGEST": buildah.about(image.base, "FromImageDigest"),
    }
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += [f"--secret=id={name},src={path}" for name, path in build_secrets.secrets(scratch).items()]
    buildah.run(
        "build", *words, f"--tag={image.tags[0]}", "--layers", "--force-rm", "--pull-never", str(context)
    )


def _keep(image: Image, buildah: "Buildah", started: float) -> None:
    """Write the facts, then the archive, by one rename: an archive that exists is complete and has its facts."""
    draft, tagged = image.beside("draft.new"), image.beside("tar.new")
    buildah.say(f"writing {image.archive}")
    buildah.run("push", image.tags[0], f"docker-archive:{draft}:{image.tags[0]}")
    archive.retag(draft, tagged, image.tags)
    draft.unlink()
    facts = {
        "id": buildah.about(image.tags[0], "FromImageID"),
        "bytes": tagged.stat().st_size,
        "seconds": round(time.monotonic() - started),
    }
    image.beside("json").write_text(json.dumps(facts))
    tagged.rename(image.archive)


class Buildah:
    """Runs buildah. Its output goes to the file `log`; `say` receives the steps."""

    def __init__(self, log: Path, say: Say) -> None:
        self.say = say
        self.path = log
        self.options = ["--root", str(cache() / "storage"), "--runroot", str(cache() / "run")]
        self.environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(cache() / "tmp")}

    def __enter__(self) -> "Buildah":
        self.log = self.path.open("w")
        (cache() / "tmp").mkdir(exist_ok=True)
        # A killed build leaves its containers behind.
        self.run("rm", "--all")
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def run(self, *words: str) -> None:
        self.run_program("buildah", *self.options, *words)

    def run_program(self, *command: str) -> None:
        """Run a program as `run` does. Raises ExpectedError with the last lines of output when it fails."""
        with subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=die_with_parent(signal.SIGTERM, niceness=10),
        ) as process:
            try:
                lines = list(self._followed(process.stdout or ()))
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            last = "\n".join(lines[-LAST_LINES:])
            raise ExpectedError(f"{last}\nThe build failed; its whole output is in {self.path}.")

    def _followed(self, lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
        for line in lines:
            self.log.write(line)
            self.log.flush()
            if _STEP.search(line):
                self.say(step(line))
            yield line.rstrip()

    def about(self, name: str, field: str) -> str:
        """Returns one field of `buildah inspect`."""
        return self.output("inspect", "--type", "image", "--format", f"{{{{.{field}}}}}", name)

    def output(self, *words: str) -> str:
        """Run buildah and return its output. Raises ExpectedError."""
        command = ["buildah", *self.options, *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ExpectedError(f"buildah {words[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()


def step(line: str) -> str:
    """Returns a step of the Containerfile without its mounts, in at most 100 characters."""
    words = [word for word in line.split() if not word.startswith("--mount=")]
    text = " ".join(words)
    return text if len(text) <= 100 else f"{text[:99]}…"


def provide_tools(tools: dict[str, str], say: Say) -> None:
    """Install missing tools, which needs root on Debian. Raises ExpectedError. tools: program -> package."""
    # debootstrap is in /usr/sbin, which is not in the PATH of every user.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [package for program, package in tools.items() if not shutil.which(program, path=path)]
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ExpectedError(
            f"Builds of images need {names}: install that (on Debian, as root: apt install {names})."
        )
    say(f"installing {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise ExpectedError(f"Cannot install {names}: {done.stderr.strip()[-300:]}")


@contextmanager
def _alone(say: Say) -> Iterator[None]:
    """Allow one build at a time, because builds share layers. Deletes the unfinished files of earlier builds."""
    cache().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for half in cache().glob("*.new"):
            half.unlink()
        for half in (cache() / "tmp").glob("build-*"):
            shutil.rmtree(half)
        yield


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache() / "tmp") as folder:
        yield Path(folder)
