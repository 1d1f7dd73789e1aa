"""`manage.py test`: pytest, once for each group of tiers."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from controlplane.standalone.installation.environment import ROOT, python
from deploy.tooling.providers import needs_browser, needs_kubernetes, provide_browser, provide_kubernetes

WORKERS = 2
# Every test belongs to one of these marks. Tests of the first share the cores; the others run one by one.
PARALLEL, PODS = "not (local or browser or up or kube)", "kube"
PROCESSES = "(local or browser or up) and not kube"
NOTHING_COLLECTED = 5
# Options that choose what runs and how. With one of them, pytest runs once with the arguments as given.
CHOICES = ("-m", "-n", "-p")
# Options with which pytest runs no test, so that nothing has to be installed for it.
QUESTIONS = {"--co", "--collect-only", "--fixtures", "--markers", "--version"}
HELP = """usage: python3 manage.py test [PATH[::NAME] ...] [pytest options]

Run the tests, all of them or those below the paths. Install before what they need: a headless browser, a one-node
Kubernetes and the images of the apps, each only for tests that use it.

  python3 manage.py test                          everything; the tests on pods run beside the others
  python3 manage.py test tests/clusters -k resize the tests of a folder whose names contain a word
  python3 manage.py test -m "not kube"            pytest once, with these marks: local, browser, up, kube
  python3 manage.py test --collect-only           list the tests and run none
  .venv/bin/python -m pytest --help               all options of pytest

SLIPWAY_REQUIRE=all makes a test that has to be skipped fail. SLIPWAY_TEST_KUBECONFIG names a Kubernetes of your own."""


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments. Returns its exit code.

    The tests on pods take the longest and wait more than they compute. So they run beside all others; their output
    is printed at the end.
    """
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    if QUESTIONS & set(arguments):
        return _pytest(arguments)
    if needs_browser(arguments):
        provide_browser()
    if needs_kubernetes(arguments):
        provide_kubernetes()
    if any(argument.startswith(CHOICES) for argument in arguments):
        return _pytest(arguments)
    parallel = ["-n", str(WORKERS), "-m", PARALLEL, *arguments]
    if any(argument.startswith("--cov") for argument in arguments):
        # All runs write one coverage file, so they run one after another.
        appended = (["--cov-append", "-m", marks, *arguments] for marks in (PROCESSES, PODS))
        return worse(_pytest(parallel), *map(_pytest, appended))
    with _in_background(["-m", PODS, *arguments]) as pods:
        return worse(_pytest(parallel), _pytest(["-m", PROCESSES, *arguments]), pods())


def _pytest(arguments: Sequence[str]) -> int:
    return subprocess.run(python("-m", "pytest", *arguments), cwd=ROOT, check=False).returncode


@contextmanager
def _in_background(arguments: Sequence[str]) -> Iterator[Callable[[], int]]:
    """Yields a function that waits until pytest has ended, prints its output and returns its exit code."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(python("-m", "pytest", *arguments), cwd=ROOT, stdout=output, stderr=output)

        def end() -> int:
            code = process.wait()
            output.seek(0)
            print(output.read(), flush=True)
            return code

        try:
            yield end
        finally:
            # This does nothing to a process that has ended.
            process.terminate()
            process.wait()


def worse(*codes: int) -> int:
    """Returns one exit code for several runs. A run that collected no test counts only when all did."""
    failures = [code for code in codes if code not in {0, NOTHING_COLLECTED}]
    if failures:
        return failures[0]
    return NOTHING_COLLECTED if all(code == NOTHING_COLLECTED for code in codes) else 0
