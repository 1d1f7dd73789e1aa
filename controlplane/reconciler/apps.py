from django.apps import AppConfig


class ReconcilerConfig(AppConfig):
    name = "controlplane.reconciler"
    label = "reconciler"
