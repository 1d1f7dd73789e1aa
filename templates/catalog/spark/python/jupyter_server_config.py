"""JupyterLab as a node of a cluster: at its own address and port or not at all, opened by its token alone.

The token is read again whenever its file changes. Kernels and terminals then go on, but every connection, WebSocket and
login cookie that an older token has opened ends in less than a second.
"""

import hashlib
import logging
import os
import re
import weakref
from pathlib import Path
from typing import Any

from jupyter_server.auth.identity import PasswordIdentityProvider
from tornado.ioloop import PeriodicCallback
from tornado.log import LogFormatter
from tornado.web import Application, RequestHandler

TOKEN_FILE = Path(os.environ["SLIPWAY_NOTEBOOK_TOKEN_FILE"])
LOOK_MILLISECONDS = 500
QUERY = re.compile(r"\?[^\s\"'<>]*=[^\s\"'<>]*")


def cookie_secret(token: str) -> bytes:
    """The key that signs cookies. It depends on the token, so cookies of older tokens are invalid."""
    return hashlib.sha256(f"cookie:{token}".encode()).digest()


class TokenInFile(PasswordIdentityProvider):
    """Accepts only the token that is in the file now."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._let_in: weakref.WeakSet[RequestHandler] = weakref.WeakSet()
        self._watch: PeriodicCallback | None = None

    def get_user(self, handler: RequestHandler) -> Any:
        self._look(handler.application)
        if self._watch is None:
            self._watch = PeriodicCallback(lambda: self._look(handler.application), LOOK_MILLISECONDS)
            self._watch.start()
        self._let_in.add(handler)
        return super().get_user(handler)

    def _look(self, application: Application) -> None:
        token = TOKEN_FILE.read_text().strip()
        if token != self.token:
            self.token = token
            application.settings["cookie_secret"] = cookie_secret(token)
            self.log.info("The token was replaced: connections that the old one opened are closed")
            for handler in list(self._let_in):
                disconnect(handler)
            self._let_in.clear()


def disconnect(handler: RequestHandler) -> None:
    """At once: a closing handshake would leave it to the other side when to go."""
    socket = getattr(handler, "ws_connection", None)
    stream = getattr(socket or handler.request.connection, "stream", None)
    if stream is not None:
        stream.close()


class WithoutQueries(LogFormatter):
    """Cuts the query off every URL in a log line or a traceback: tokens stand there."""

    def format(self, record: logging.LogRecord) -> str:
        return QUERY.sub("?[…]", super().format(record))


def formatter(**given: str) -> LogFormatter:
    """given: a formatter as `logging.config` describes one."""
    return WithoutQueries(given["format"], given["datefmt"])


c = get_config()  # noqa: F821 - Jupyter reads this file with it

c.ServerApp.ip = os.environ["SLIPWAY_NOTEBOOK_ADDRESS"]
c.ServerApp.port = int(os.environ["SLIPWAY_NOTEBOOK_PORT"])
c.ServerApp.port_retries = 0
c.ServerApp.base_url = "/"
c.ServerApp.root_dir = os.environ["HOME"]
c.ServerApp.open_browser = False
c.ServerApp.quit_button = False
c.ServerApp.terminals_enabled = True
c.ServerApp.allow_root = True
c.ServerApp.show_banner = False
c.ServerApp.identity_provider_class = TokenInFile
c.IdentityProvider.token = TOKEN_FILE.read_text().strip()
c.ServerApp.cookie_secret = cookie_secret(c.IdentityProvider.token)
c.PasswordIdentityProvider.hashed_password = ""
c.PasswordIdentityProvider.allow_password_change = False
c.Application.logging_config = {"formatters": {"console": {"()": formatter}}}
# On a loopback address the server then answers only requests that name a local host, so no foreign page reaches it
# by a name of its own; elsewhere it stands behind the gateway, which names whom it forwards for.
c.ServerApp.allow_remote_access = c.ServerApp.ip.startswith("127.") is False
c.LabApp.extension_manager = "readonly"
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False}
