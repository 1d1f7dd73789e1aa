"""Runs all checks of `doctor`: what Slipway needs or can use, whether it is there and safe."""

from pathlib import Path

from controlplane.standalone.doctor.check_result import CheckResult
from controlplane.standalone.doctor.data_directory import check_data_directory, check_installation
from controlplane.standalone.doctor.database import check_postgres
from controlplane.standalone.doctor.machine import (
    check_disk,
    check_java,
    check_port,
    check_python,
    check_runtimes,
)
from controlplane.standalone.doctor.remotes import check_kubernetes, check_vault
from controlplane.standalone.supervise.lock import running_in


def examine(data_dir: Path, port: int | None = None) -> list[CheckResult]:
    """Returns the result of every check. Changes nothing on this machine.

    port: the port to check; None means the port of the running installation, or the default one.
    """
    running = running_in(data_dir)
    return [
        check_python(),
        check_postgres(),
        check_java(),
        check_runtimes(data_dir),
        check_disk(data_dir),
        check_data_directory(data_dir),
        check_installation(data_dir, running),
        check_port(port, running),
        check_kubernetes(),
        check_vault(),
    ]
