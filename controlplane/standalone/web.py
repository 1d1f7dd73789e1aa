"""The web application as `up` serves it: its process ends with the one that manages it, however that ends."""

import signal

from django.conf import settings
from django.utils.module_loading import import_string

from controlplane.standalone.command import end_with_parent

end_with_parent(signal.SIGKILL)
application = import_string(settings.ASGI_APPLICATION)
