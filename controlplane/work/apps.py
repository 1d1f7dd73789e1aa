from django.apps import AppConfig


class WorkConfig(AppConfig):
    name = "controlplane.work"
    label = "work"
