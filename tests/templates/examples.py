"""A small app and a template of it, as bodies that tests can break, and as parsed values."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from templates.parsing import parse_app
from templates.revision import parse_revision
from templates.schema import App, RevisionSpec

_ENGINE = {
    "name": "engine",
    "version": "1.0",
    "title": "Engine",
    "description": "Counts.",
    "secrets": ["key"],
    "settings": {
        "notebook": {"type": "boolean", "default": False, "title": "Notebook"},
        "level": {"type": "string", "enum": ["info", "warn", "debug"], "default": "info"},
        "partitions": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 200},
        "ratio": {"type": "number", "default": 0.5},
        "label": {"type": "string", "minLength": 1, "maxLength": 20, "default": "none"},
    },
    "runtimes": {"base": {"python": ["numpy==2.0.0"], "java": 17, "prepare": "hooks/ready"}, "plain": {}},
    "assets": [
        {"path": "hooks/ready", "content": "#!/bin/sh\n", "executable": True},
        {"path": "conf/log", "content": "level={setting.level}\n"},
    ],
    "roles": {
        "head": {
            "runtime": "base",
            "critical": True,
            "command": ["{runtime.java}/bin/java", "-Xmx{heap_mib}m", "--at", "{address}:{port.rpc}"],
            "minimum": {"cpu": "500m", "memory": "1Gi"},
            "overhead": "300Mi",
            "ports": {"rpc": 7077, "ui": 8080},
            "env": {"LEVEL": "{setting.level}", "BRACES": "{{}}"},
            "files": [
                {"path": "conf/key", "content": "key={secret.key}\n", "on_change": "restart"},
                {"path": "conf/log", "source": "conf/log"},
            ],
            "services": {
                "web": {"port": "ui", "scheme": "http", "path": "/", "dashboard": True, "token": "key"},
                "engine-head": {"port": "rpc"},
            },
            "hooks": {"ready": "hooks/ready"},
        },
        "worker": {
            "runtime": "plain",
            "max_count": 64,
            "command": ["work", "{first.head.address}:{first.head.port.rpc}", "{peers.worker.rpc}"],
            "minimum": {"cpu": "1", "memory": "1Gi"},
            "default": {"cpu": "1", "memory": "2Gi"},
            "ports": {"rpc": 7078},
        },
        "notebook": {
            "runtime": "plain",
            "when": "notebook",
            "command": ["lab"],
            "minimum": {"cpu": "500m", "memory": "512Mi", "storage": "1Gi"},
        },
    },
}

_TEMPLATE = {
    "app": {"name": "engine", "version": "1.0"},
    "title": "Counting",
    "quick_launch": True,
    "groups": [
        {"name": "head", "role": "head"},
        {
            "name": "worker",
            "role": "worker",
            "count": 2,
            "cpu": "2",
            "memory": "2Gi",
            "min_count": 1,
            "max_count": 8,
            "max_cpu": "4",
            "min_memory": "2Gi",
        },
    ],
    "parameters": {
        "type": "object",
        "properties": {
            "level": {"const": "warn", "x-reason": "Logs are dear."},
            "partitions": {"maximum": 400},
        },
    },
    "presets": {"large": {"groups": {"worker": {"count": 6}}, "parameters": {"notebook": True}}},
}


def engine_body() -> dict[str, Any]:
    return deepcopy(_ENGINE)


def template_body(**changed: Any) -> dict[str, Any]:
    return {**deepcopy(_TEMPLATE), **changed}


def engine() -> App:
    return parse_app(engine_body())


def revision(**changed: Any) -> RevisionSpec:
    return parse_revision(template_body(**changed), engine())


def spoilt(body: Mapping[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """Returns a copy of `body` with `value` at the JSON pointer."""
    copy = deepcopy(dict(body))
    *parents, last = pointer.removeprefix("/").split("/")
    place: Any = copy
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place[parent]
    place[int(last) if isinstance(place, list) else last] = value
    return copy
