"""The PostgreSQL server of a test run, started for that run unless DATABASE_URL names another server."""

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from controlplane.standalone.database.prepare import prepare_postgres
from controlplane.standalone.installation.owner import database_owner

START_SECONDS = 60
STOP_SECONDS = 30
SPEED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


class TestServer:
    __test__ = False

    def __init__(self) -> None:
        owner = database_owner()
        parent = tempfile.gettempdir()
        if owner and not owner.may_enter(Path(parent)):
            parent = "/tmp"
        self.folder = Path(tempfile.mkdtemp(prefix="slipway-tests-", dir=parent))
        self.folder.chmod(0o711)
        self.server = prepare_postgres(self.folder / "postgres", owner=owner, settings=SPEED, durable=False)
        with (self.folder / "log").open("wb") as log:
            self.process = self.server.command.start(output=log.fileno())
        self._await_ready()

    @property
    def url(self) -> str:
        return self.server.url

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.server.is_ready(self.process.pid):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"PostgreSQL for the tests did not start: {(self.folder / 'log').read_text()}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)
