"""Registers the fake site, in the installation's environment."""

import django

django.setup()

from controlplane.clusters.models import Site  # noqa: E402

Site.objects.get_or_create(name="fake", defaults={"kind": "fake", "ready": True, "isolation": "none"})
