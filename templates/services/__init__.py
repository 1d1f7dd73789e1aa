"""Every change of the catalogue and of templates. Each function runs in one transaction and audits the change."""

from templates.services.apps import app_register, app_withdraw, catalog_register
from templates.services.defaults import defaults_publish
from templates.services.templates import (
    template_create,
    template_delete,
    template_deprecate,
    template_publish,
    template_rollback,
    template_update,
)

__all__ = [
    "app_register",
    "app_withdraw",
    "catalog_register",
    "defaults_publish",
    "template_create",
    "template_delete",
    "template_deprecate",
    "template_publish",
    "template_rollback",
    "template_update",
]
