"""Gets and renews the credentials of accounts, for calls, streams, watches and exec.

All clients of a process that share a `Reach` share credentials. They are renewed when a file changes, before they
expire, and when the API server refuses them. They are obtained in a thread of their own and not under a lock: a call
that needs them waits as long as its own time allows, and the next call uses what came later.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.provisioners.base import Temporary
from controlplane.provisioners.kubernetes.client import parallel
from controlplane.provisioners.kubernetes.client.connections import Access, tls_context
from controlplane.provisioners.kubernetes.client.errors import no_credentials, unusable
from controlplane.provisioners.kubernetes.client.kubeconfig import Plugin, ServerConfig, server_config
from controlplane.provisioners.kubernetes.client.plugin import (
    PluginCredentials,
    PluginFailed,
    run_plugin,
)
from controlplane.provisioners.kubernetes.settings import Reach, SettingsInvalid

WAIT_SECONDS = 4.0
# Credentials are renewed this long before they expire, or in the last fifth of a short life.
EARLY_SECONDS, EARLY_PART = 60.0, 0.2
# A plugin that failed, or whose credentials were refused, is not run again sooner.
AGAIN_SECONDS = 10.0
MOST_KEPT = 256

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """stamp: of the files, taken before they were read."""

    access: Access
    config: ServerConfig
    stamp: Stamp
    given: PluginCredentials | None

    def is_over(self) -> bool:
        until = self.given.until if self.given else None
        return (until is not None and time.time() >= until) or _stamp(self.config) != self.stamp

    def is_late(self) -> bool:
        """Whether they are still valid, but should be renewed."""
        if self.given is None or self.given.until is None:
            return False
        life = self.given.until - self.given.at
        return time.time() >= self.given.until - min(EARLY_SECONDS, life * EARLY_PART)


class Credentials:
    """The credentials of one `Reach`. Thread-safe."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._getting: Future[_Held] | None = None
        self._given: tuple[Plugin, PluginCredentials] | None = None
        # The last failure, and the monotonic time until which it is not tried again.
        self._failure: tuple[str, float] | None = None

    def access(self) -> Access:
        """Raises SiteUnknown: SITE_SETTINGS, SITE_CREDENTIALS. Their admin may repair files at any time."""
        until = parallel.deadline(WAIT_SECONDS)
        with self._lock:
            held = self._held
            if held and not held.is_over():
                if held.is_late() and not self._has_failed():
                    self._get()
                return held.access
            if failure := self._has_failed():
                raise no_credentials(failure)
            getting = self._get()
        try:
            return getting.result(max(0.0, until - time.monotonic())).access
        except TimeoutError:
            raise no_credentials(
                "the credentials have not come yet: their plugin is slow", delay=2.0
            ) from None

    def refused(self, access: Access) -> None:
        """The API server refuses these credentials: get others, unless that was done already."""
        with self._lock:
            if self._held is None or self._held.access is not access:
                return
            self._held = None
            if self._given and time.time() - self._given[1].at >= AGAIN_SECONDS:
                self._given = None

    def _has_failed(self) -> str:
        return self._failure[0] if self._failure and time.monotonic() < self._failure[1] else ""

    def _get(self) -> "Future[_Held]":
        """The thread that gets credentials, started once for all that wait. The caller has the lock."""
        if self._getting is None:
            self._getting = Future()
            run = threading.Thread(
                target=self._run, args=(self._getting, self._held), name="kubernetes-credentials", daemon=True
            )
            run.start()
        return self._getting

    def _run(self, getting: "Future[_Held]", before: _Held | None) -> None:
        held, error = _attempt(lambda: self._make(before))
        with self._lock:
            self._getting = None
            if held:
                self._held, self._failure = held, None
                if held.config.plugin and held.given:
                    self._given = held.config.plugin, held.given
            elif isinstance(error, Temporary) and error.reason == "SITE_CREDENTIALS":
                self._failure = error.message, time.monotonic() + AGAIN_SECONDS
        if held:
            getting.set_result(held)
        else:
            getting.set_exception(error or unusable("nothing was read"))

    def _make(self, before: _Held | None) -> _Held:
        """Raises Temporary."""
        try:
            stamp = _stamp(server_config(self._reach))
            # Read after the stamp was taken, so that the next call notices a change in between.
            config = server_config(self._reach)
            given = self._plugin_credentials(config.plugin, before) if config.plugin else None
            return _Held(_access(config, given), config, stamp, given)
        except PluginFailed as error:
            raise no_credentials(str(error)) from error
        except SettingsInvalid as error:
            raise unusable(str(error)) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise unusable(error) from error

    def _plugin_credentials(self, plugin: Plugin, before: _Held | None) -> PluginCredentials:
        """The credentials of the plugin. It runs again only when they are late or invalid."""
        known = self._given
        if known and known[0] == plugin and not (before and before.is_late()):
            until = known[1].until
            if until is None or time.time() < until:
                return known[1]

        return run_plugin(plugin)


def of(reach: Reach) -> Credentials:
    """The shared credentials of this process: threads and locks do not survive a fork."""
    with _making:
        return _of(os.getpid(), reach)


_making = threading.Lock()


@lru_cache(MOST_KEPT)
def _of(pid: int, reach: Reach) -> Credentials:
    return Credentials(reach)


def _attempt(make: Callable[[], _Held]) -> tuple[_Held | None, BaseException | None]:
    try:
        return make(), None
    except BaseException as error:  # noqa: BLE001 - handed to all that wait for it
        return None, error


def _stamp(config: ServerConfig) -> Stamp:
    return tuple(map(_stamp_of, config.watched))


def _stamp_of(file: str) -> tuple[int, int, int] | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _access(config: ServerConfig, given: PluginCredentials | None) -> Access:
    """Raises SettingsInvalid, OSError, ValueError."""
    url = urlsplit(config.server)
    host, secure = url.hostname or "", url.scheme == "https"
    if url.scheme not in ("http", "https") or not host:
        raise SettingsInvalid(f"{config.server[:100]} is no address of an API server.")
    # Credentials of the plugin precede those in the kubeconfig.
    certificate = (given.certificate if given else b"") or config.certificate.read()
    key = (given.key if given else b"") or config.key.read()
    ca = config.ca.read()
    if config.ca and not ca:
        raise SettingsInvalid(f"{config.ca.file or 'the certificate authority'} is empty.")
    tls = tls_context(ca, certificate, key, verify=not config.insecure) if secure else None
    return Access(
        host=host,
        port=url.port or (443 if secure else 80),
        prefix=url.path.rstrip("/"),
        tls=tls,
        server_name=config.server_name or host,
        sent=(*_authorization(config, given), *config.headers),
        proxy=config.proxy,
        certified=bool(certificate),
    )


def _authorization(config: ServerConfig, given: PluginCredentials | None) -> list[tuple[str, str]]:
    if given and given.token:
        return [("Authorization", f"Bearer {given.token.decode('ascii')}")]
    if config.token:
        token = config.token.read().decode("ascii").strip()
        if not token:
            raise SettingsInvalid(f"{config.token.file or 'the token'} is empty.")
        return [("Authorization", f"Bearer {token}")]
    return [("Authorization", f"Basic {config.basic}")] if config.basic else []
