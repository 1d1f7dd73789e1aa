"""JupyterLab as a node of a cluster: at its own address and port or not at all, opened by its token alone."""

import os
from pathlib import Path

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
c.IdentityProvider.token = Path(os.environ["SLIPWAY_NOTEBOOK_TOKEN_FILE"]).read_text().strip()
c.PasswordIdentityProvider.hashed_password = ""
c.PasswordIdentityProvider.allow_password_change = False
# On a loopback address the server then answers only requests that name a local host, so no foreign page reaches it
# by a name of its own; elsewhere it stands behind the gateway, which names whom it forwards for.
c.ServerApp.allow_remote_access = c.ServerApp.ip.startswith("127.") is False
c.LabApp.extension_manager = "readonly"
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False}
