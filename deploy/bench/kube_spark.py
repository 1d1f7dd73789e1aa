"""How long a Spark cluster of a master and two workers takes on real pods, their image present, and its first job.

The share of each step is what the operation says of it; the job is run in the master, as a member would.
"""

import time
from statistics import median
from typing import Any

from installation import TENANT, Running, installed, seconds_of
from kube import SITE, client, devkube, register

from controlplane.provisioners.kubernetes import names, paths
from controlplane.provisioners.kubernetes.client import Client
from controlplane.provisioners.kubernetes.exec import run
from controlplane.standalone.images.build import build
from controlplane.standalone.images.image import every_image
from deploy.devkube.images import ctr, load
from deploy.devkube.settings import Devkube

ROUNDS = 5
WORKERS = 2
# All of it fits into two cores, with room for Kubernetes itself.
GROUPS = {"master": {"cpu": "250m"}, "worker": {"count": WORKERS, "cpu": "500m"}}
JOB = ["sh", "-c", 'spark-submit "$SLIPWAY_DIR_APP/examples/sum.py"']
JOB_SECONDS = 120
TOTAL = "49999995000000"
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
        "what": "seconds from POST to a Spark cluster with two workers on real pods, and to a job's result",
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


def _once(running: Running, admin: Client, name: str) -> dict[str, float]:
    """Seconds of each step, and from the POST until it was ready, and until a job on it had a result."""
    body = {"name": name, "template": "spark", "site": SITE, "groups": GROUPS}
    began = time.perf_counter()
    cluster = running.call("POST", f"{TENANT}/clusters", body)
    running.finish(cluster["operation"])
    ready = time.perf_counter() - began
    printed = _job(admin, cluster["id"])
    first = time.perf_counter() - began
    workers = {line for line in printed.splitlines() if line.startswith("worker ")}
    if TOTAL not in printed or len(workers) != WORKERS:
        raise RuntimeError(f"not what the job should say: {printed[-500:]}")
    steps = running.call("GET", f"{TENANT}/operations/{cluster['operation']['id']}")["steps"]
    running.delete(name)
    shares = {step["name"]: seconds_of(step) for step in steps}
    return {"until_ready": ready, "until_result": first} | shares


def _job(admin: Client, cluster: str) -> str:
    found = admin.list(paths.pods(), labels={names.CLUSTER: cluster, names.NODE: "master-0"}).items
    pod = found[0]["metadata"]
    ran = run(admin, pod["namespace"], pod["name"], JOB, seconds=JOB_SECONDS)
    if ran.exit_code:
        raise RuntimeError(f"the job failed: {ran.stderr.decode()[-2000:]}")
    return ran.stdout.decode()
