"""How long a Spark cluster takes on real pods, with its image present.

It measures the time until a master and two workers are ready, and, with a notebook in the same cluster, until the first
cell of the notebook has its result. The operation gives the time of each step. The cell runs as a browser runs it, in a
new kernel through Jupyter's API, but from the notebook's own pod, because network policies allow nothing else.
"""

import time
from statistics import median
from typing import Any

from installation import TENANT, RunningInstallation, installed, seconds_of
from kube import SITE, client, devkube, register

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.exec import run
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.standalone.installation.environment import ROOT
from deploy.devkube.node_images import ctr, load
from deploy.devkube.settings import Devkube
from deploy.tooling.images.build import build
from deploy.tooling.images.image import every_image

ROUNDS = 5
# The cluster fits into two cores, with room for Kubernetes itself.
GROUPS = {"master": {"cpu": "250m"}, "worker": {"count": 2, "cpu": "500m"}}
WITH_NOTEBOOK = GROUPS | {"notebook": {"cpu": "250m"}}
ROWS = 1_000_000
CELL_SECONDS = 120
# It follows the definition of `Kernel`. The kernel is new, so it also starts the Spark session.
CELL = f"""
import os
from pathlib import Path
address, port = os.environ["SLIPWAY_NOTEBOOK_ADDRESS"], os.environ["SLIPWAY_NOTEBOOK_PORT"]
token = Path(os.environ["SLIPWAY_NOTEBOOK_TOKEN_FILE"]).read_text().strip()
kernel = Kernel(f"http://{{address}}:{{port}}/lab?token={{token}}")
print(kernel.run("print(spark.range({ROWS}).count())"))
"""
GOAL, GOAL_FIRST_RESULT = 6.0, 12.0


def measure() -> dict[str, Any]:
    with (
        devkube() as kube,
        installed(runtimes=False) as installation,
        installation.running() as running,
    ):
        _provide_image(kube)
        register(running, kube)
        admin = client(kube)
        _once(running, admin, "warm")
        rounds = [_once(running, admin, f"round-{number}") for number in range(ROUNDS)]
    ready, first = (median(one[name] for one in rounds) for name in ("until_ready", "until_result"))
    return {
        "what": "seconds from POST to a Spark cluster with two workers on real pods, and to a notebook's first result",
        "value": f"{ready:.2f} and {first:.2f}",
        "goal": f"<= {GOAL:g} and <= {GOAL_FIRST_RESULT:g}",
        "kept": ready <= GOAL and first <= GOAL_FIRST_RESULT,
        "median": {name: round(median(one[name] for one in rounds), 2) for name in rounds[0]},
        "rounds": [{name: round(seconds, 2) for name, seconds in one.items()} for one in rounds],
    }


def _provide_image(kube: Devkube) -> None:
    for image in every_image():
        if image.app.name == "spark":
            build(image, print)
            if image.tags[0] not in ctr(kube, "images", "ls", "-q").split():
                load(kube, image.archive)


def _once(running: RunningInstallation, admin: Client, name: str) -> dict[str, float]:
    """Returns the seconds from the POST until ready, of each step, and until a notebook had its first result."""
    _, ready, shares = _launch(running, name, "spark", GROUPS)
    running.delete(name)
    began = time.perf_counter()
    cluster, with_notebook, _ = _launch(running, f"{name}-n", "spark-notebook", WITH_NOTEBOOK)
    if _first_cell(admin, cluster) != str(ROWS):
        raise RuntimeError("the cell printed a wrong result")
    first = time.perf_counter() - began
    running.delete(f"{name}-n")
    return {"until_ready": ready, **shares, "notebook_ready": with_notebook, "until_result": first}


def _launch(
    running: RunningInstallation, name: str, template: str, groups: dict[str, Any]
) -> tuple[str, float, dict[str, float]]:
    """Returns the id of the cluster, the seconds until it was ready, and those of each step."""
    body = {"name": name, "template": template, "site": SITE, "groups": groups}
    began = time.perf_counter()
    cluster = running.call("POST", f"{TENANT}/clusters", body)
    running.finish(cluster["operation"])
    ready = time.perf_counter() - began
    steps = running.call("GET", f"{TENANT}/operations/{cluster['operation']['id']}")["steps"]
    return cluster["id"], ready, {step["name"]: seconds_of(step) for step in steps}


def _first_cell(admin: Client, cluster: str) -> str:
    """Returns the output of the cell."""
    found = admin.list(paths.pods(), labels={names.CLUSTER: cluster, names.NODE: "notebook-0"}).items
    pod = found[0]["metadata"]
    code = (ROOT / "tests" / "journeys" / "kernel.py").read_text() + CELL
    ran = run(admin, pod["namespace"], pod["name"], ["python", "-c", code], seconds=CELL_SECONDS)
    if ran.exit_code:
        raise RuntimeError(f"the cell failed: {ran.stderr.decode()[-2000:]}")
    return ran.stdout.decode().strip()
