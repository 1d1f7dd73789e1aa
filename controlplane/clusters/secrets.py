"""Internal keys of one run: derived when needed, stored nowhere."""

import hmac

from django.conf import settings

from controlplane.clusters.models import Cluster


def run_secret(cluster: Cluster, name: str) -> str:
    """64 hexadecimal digits, another for every cluster, run and name."""
    key = settings.INSTALLATION_KEY.encode()
    return hmac.new(key, f"run:{cluster.id}:{cluster.run}:{name}".encode(), "sha256").hexdigest()
