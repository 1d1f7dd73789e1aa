"""Calls of the tests: apply and read objects, run commands in pods, and wait for conditions."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest

from deploy.devkube.settings import Devkube, DevkubeError

SECONDS = 60.0


def apply(kube: Devkube, *things: dict[str, Any]) -> None:
    text = "\n---\n".join(json.dumps(thing) for thing in things)
    until(lambda: kube.kubectl("apply", "-f", "-", given=text))


def create(kube: Devkube, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(kube.kubectl("create", "-o", "json", "-f", "-", given=json.dumps(body)))
    return made


def until(condition: Callable[[], Any]) -> Any:
    """The first true result of the condition. An error of kubectl counts as false."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if found := condition():
                return found
            missing: object = "not true"
        except (DevkubeError, OSError) as error:
            missing = error
        assert time.monotonic() < deadline, missing
        time.sleep(0.1)


def exec_in_pod(kube: Devkube, where: str, *command: str, given: str | None = None) -> str:
    """The output of a command in a pod, named like "two/cli"."""
    namespace, _, name = where.partition("/")
    options = ("-i",) if given is not None else ()
    return kube.kubectl("-n", namespace, "exec", *options, name, "--", *command, given=given)


def page(kube: Devkube, where: str, url: str, *, seconds: int = 2) -> str:
    return exec_in_pod(kube, where, "timeout", str(seconds), "wget", "-qO-", url)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(DevkubeError) as error:
        call()
    return str(error.value)


def of(kube: Devkube, what: str, path: str) -> str:
    """A field of an object, named like "one/pod/web-0"."""
    namespace, _, rest = what.partition("/")
    return kube.kubectl("-n", namespace, "get", rest, "-o", f"jsonpath={{{path}}}")


def fetch(url: str) -> str:
    with urlopen(url, timeout=3) as answer:  # noqa: S310
        return str(answer.read().decode())
