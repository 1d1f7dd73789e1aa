"""The web application as `up` serves it.

The kernel kills its process when granian's main process ends. It loads while the database is being upgraded, and
waits at the gate until that is done.
"""

import signal
from pathlib import Path

from django.conf import settings
from django.utils.module_loading import import_string

from controlplane.standalone.supervise.command import end_with_parent
from controlplane.standalone.supervise.lock import pass_gate
from controlplane.standalone.web.probes import offer_probes
from controlplane.standalone.web.server import raise_file_limit

end_with_parent(signal.SIGKILL)
raise_file_limit()
application = import_string(settings.ASGI_APPLICATION)
data_dir = Path(settings.DATA_DIR)
offer_probes(
    import_string(settings.WSGI_APPLICATION),
    port=settings.HEALTH_PORT,
    address_file=data_dir / "run" / "health",
)
pass_gate(data_dir)
