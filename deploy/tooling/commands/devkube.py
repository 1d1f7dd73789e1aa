"""`manage.py devkube up|down|status|load ARCHIVE…|kwok N`: a real one-node Kubernetes on this machine."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from deploy.devkube import kwok, lifecycle, node_images, programs
from deploy.devkube.settings import Devkube, DevkubeError

ABOUT = """Run a real one-node Kubernetes on this machine, for development, the kube tests and the benchmarks.
It needs Linux, root and Go. The first `up` installs missing Debian packages and builds Kubernetes, which takes some
minutes, into ~/.cache/slipway/devkube or the folder SLIPWAY_DEVKUBE_DIR. Several may run at the same time, each with
its own SLIPWAY_DEVKUBE_NAME, _LINK, _PODS and _SERVICES (the first three bytes of networks); `status` prints them.
With SLIPWAY_DEVKUBE_FAST=yes its controllers may send 300 requests a second instead of their default 20."""


class Command(BaseCommand):
    help = ABOUT
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="up|down|status|load|kwok")
        verbs.add_parser("up", help="build what is missing and bring it up")
        down = verbs.add_parser("down", help="stop it and leave nothing but its state")
        down.add_argument(
            "--wipe", action="store_true", help="delete its state too, before another installation uses it"
        )
        verbs.add_parser(
            "status",
            help="print whether it runs, its versions and its paths; exit code 1 when it does not run",
        )
        load = verbs.add_parser("load", help="import image archives, for pods with imagePullPolicy Never")
        load.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help="a docker or OCI archive")
        fake = verbs.add_parser("kwok", help="run exactly N fake nodes, labelled and tainted type=kwok")
        fake.add_argument("count", type=int, choices=range(10_000), metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            kube = Devkube.from_environment()
            getattr(self, f"_{options['verb']}")(kube, options)
        except BrokenPipeError:
            raise
        except (DevkubeError, OSError) as error:
            raise CommandError(str(error)) from error

    def _up(self, kube: Devkube, options: dict[str, Any]) -> None:
        lifecycle.up(kube, self._say)
        self._say(f"export KUBECONFIG={kube.kubeconfig}")

    def _down(self, kube: Devkube, options: dict[str, Any]) -> None:
        lifecycle.down(kube, wipe=options["wipe"])
        if kube.state.exists():
            self._say(
                f"{kube.state} keeps its state, with the namespaces of the installation that used it: before another "
                "installation uses it, run `devkube down --wipe`"
            )

    def _status(self, kube: Devkube, options: dict[str, Any]) -> None:
        running = lifecycle.is_up(kube)
        for name, text in {
            "state": f"up, process {lifecycle.node_pid(kube)}" if running else "not up",
            "kubernetes": programs.version("kubernetes", "k8s.io/kubernetes"),
            "etcd": programs.version("etcd", "go.etcd.io/etcd/server/v3"),
            "coredns": programs.version("coredns", "github.com/coredns/coredns"),
            "kwok": programs.version("kwok", "sigs.k8s.io/kwok"),
            "networks": f"link {kube.link}.0/30, pods {kube.pods}.0/24, services {kube.services}.0/20",
            "kubeconfig": kube.kubeconfig,
            "kubectl": kube.state / "bin" / "kubectl",
            "audit log": kube.audit_log,
            "logs": kube.state / "log",
        }.items():
            self._say(f"{name:<11} {text}")
        sys.exit(not running)

    def _load(self, kube: Devkube, options: dict[str, Any]) -> None:
        node_images.load(kube, *options["archives"])

    def _kwok(self, kube: Devkube, options: dict[str, Any]) -> None:
        kwok.scale(kube, options["count"])

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
