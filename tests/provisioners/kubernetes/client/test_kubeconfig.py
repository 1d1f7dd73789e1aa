"""Every field of a kubeconfig is honoured or refused in a sentence."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.client.kubeconfig import (
    FIELDS,
    HONOURED,
    NO_EFFECT,
    ServerConfig,
    from_context,
)
from controlplane.provisioners.kubernetes.settings import SettingsInvalid

Fields = dict[str, Any]
EXEC: Fields = {"apiVersion": "client.authentication.k8s.io/v1", "command": "get-token"}


def written(folder: Path, **said: Fields) -> str:
    """Writes a kubeconfig and returns its path. said: fields to add, by kind of entry."""
    user = said.get("user", {"token": "t"})
    if "exec" in said:
        user = {"exec": {**EXEC, **said["exec"]}}
    entries = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"} | said.get("cluster", {})}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"} | said.get("context", {})}],
    }
    (folder / "config").write_text(json.dumps({"current-context": "x", **entries}))
    return str(folder / "config")


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def plugin_of(found: ServerConfig, attribute: str) -> Any:
    assert found.plugin
    return getattr(found.plugin, attribute)


PAIR = {"client-certificate": "cert", "client-key": "key"}
DATA = {"client-certificate-data": base64_of("cert"), "client-key-data": base64_of("key")}
ACTED = {"token": "t", "as": "bob"}
# (kind, field) -> (the entry, how to read the result, the expected result).
CASES: dict[tuple[str, str], tuple[Fields, Callable[[ServerConfig], Any], Any]] = {
    ("cluster", "server"): ({"server": "https://h:2/p/"}, lambda found: found.server, "https://h:2/p"),
    ("cluster", "certificate-authority"): (
        {"certificate-authority": "ca"},
        lambda found: Path(found.ca.file).name,
        "ca",
    ),
    ("cluster", "certificate-authority-data"): (
        {"certificate-authority-data": base64_of("ca"), "certificate-authority": "other"},
        lambda found: found.ca.read(),
        b"ca",
    ),
    ("cluster", "insecure-skip-tls-verify"): (
        {"insecure-skip-tls-verify": True},
        lambda found: found.insecure,
        True,
    ),
    ("cluster", "tls-server-name"): ({"tls-server-name": "api"}, lambda found: found.server_name, "api"),
    ("cluster", "proxy-url"): ({"proxy-url": "http://p:3"}, lambda found: found.proxy, "http://p:3"),
    ("user", "client-certificate"): (PAIR, lambda found: Path(found.certificate.file).name, "cert"),
    ("user", "client-key"): (PAIR, lambda found: Path(found.key.file).name, "key"),
    ("user", "client-certificate-data"): (DATA, lambda found: found.certificate.read(), b"cert"),
    ("user", "client-key-data"): (DATA, lambda found: found.key.read(), b"key"),
    ("user", "token"): ({"token": "t"}, lambda found: found.token.read(), b"t"),
    ("user", "tokenFile"): (
        {"tokenFile": "f", "token": "t"},
        lambda found: Path(found.token.file).name,
        "f",
    ),
    ("user", "username"): (
        {"username": "a", "password": "b"},
        lambda found: base64.b64decode(found.basic),
        b"a:b",
    ),
    ("user", "password"): (
        {"username": "a", "password": "b"},
        lambda found: base64.b64decode(found.basic),
        b"a:b",
    ),
    ("user", "as"): (ACTED, lambda found: found.headers, (("Impersonate-User", "bob"),)),
    ("user", "as-uid"): (
        {**ACTED, "as-uid": "7"},
        lambda found: found.headers[1:],
        (("Impersonate-Uid", "7"),),
    ),
    ("user", "as-groups"): (
        {**ACTED, "as-groups": ["a", "b"]},
        lambda found: found.headers[1:],
        (("Impersonate-Group", "a"), ("Impersonate-Group", "b")),
    ),
    ("user", "as-user-extra"): (
        {**ACTED, "as-user-extra": {"Acme.com/Team": ["a"]}},
        lambda found: found.headers[1:],
        (("Impersonate-Extra-acme.com%2Fteam", "a"),),
    ),
    ("user", "exec"): ({"exec": EXEC}, lambda found: plugin_of(found, "command"), "get-token"),
    ("context", "cluster"): ({}, lambda found: found.server, "https://127.0.0.1:1"),
    ("context", "user"): ({}, lambda found: found.token.read(), b"t"),
    ("exec", "apiVersion"): (
        {"apiVersion": "client.authentication.k8s.io/v1beta1"},
        lambda found: plugin_of(found, "api_version"),
        "client.authentication.k8s.io/v1beta1",
    ),
    ("exec", "command"): (
        {"command": "./get"},
        lambda found: Path(plugin_of(found, "command")).is_absolute(),
        True,
    ),
    ("exec", "args"): ({"args": ["a", "b"]}, lambda found: plugin_of(found, "arguments"), ("a", "b")),
    ("exec", "env"): (
        {"env": [{"name": "A", "value": "b"}]},
        lambda found: plugin_of(found, "environment"),
        (("A", "b"),),
    ),
    ("exec", "installHint"): ({"installHint": "get it"}, lambda found: plugin_of(found, "hint"), "get it"),
    ("exec", "provideClusterInfo"): (
        {"provideClusterInfo": True},
        lambda found: json.loads(plugin_of(found, "cluster")),
        {"server": "https://127.0.0.1:1"},
    ),
    ("exec", "interactiveMode"): ({"interactiveMode": "IfAvailable"}, lambda found: bool(found.plugin), True),
}
# Only plugins receive these fields; the test below checks them.
ELSEWHERE = {("cluster", "extensions")}
EXTENSION = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
ALL = [(kind, field) for kind, fields in FIELDS.items() for field in fields]


@pytest.mark.parametrize(
    ("kind", "field"),
    [each for each in ALL if FIELDS[each[0]][each[1]] == HONOURED and each not in ELSEWHERE],
)
def test_a_field_is_honoured(tmp_path: Path, kind: str, field: str):
    said, found, expected = CASES[kind, field]
    assert found(from_context(written(tmp_path, **{kind: said}))) == expected


def test_a_plugin_receives_the_configuration_of_the_cluster_for_plugins(tmp_path: Path):
    said: dict[str, Fields] = {"cluster": {"extensions": [EXTENSION]}, "exec": {"provideClusterInfo": True}}
    passed = json.loads(plugin_of(from_context(written(tmp_path, **said)), "cluster"))
    assert passed == {"server": "https://127.0.0.1:1", "config": {"audience": "x"}}


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, field in ALL if FIELDS[kind][field] == NO_EFFECT]
)
def test_a_field_has_no_effect(tmp_path: Path, kind: str, field: str):
    plain = from_context(written(tmp_path))
    said = {"token": "t", field: [{"name": "x"}]} if kind == "user" else {field: "x"}
    assert from_context(written(tmp_path, **{kind: said})) == plain


REFUSED: list[tuple[dict[str, Fields], str]] = [
    ({"user": {"auth-provider": {"name": "gcp"}}}, "user u .* has auth-provider, which kubectl dropped"),
    ({"user": {}}, "has no credentials.*system:anonymous"),
    ({"user": {"token": "t", "colour": "red"}}, "user u .* has a field colour"),
    ({"cluster": {"colour": "red"}}, "cluster c .* has a field colour"),
    ({"context": {"colour": "red"}}, "context x .* has a field colour"),
    ({"cluster": {"proxy-url": "socks5://u:secret@p:1"}}, "proxy-url p:1: only http"),
    ({"cluster": {"server": ""}}, "needs an http or https address"),
    ({"cluster": {"certificate-authority": "a", "insecure-skip-tls-verify": True}}, "remove one of them"),
    ({"user": {"client-certificate": "a"}}, "but not both"),
    ({"user": {"token": "t", "username": "a", "password": "b"}}, "remove one of them"),
    ({"user": {"token": "t", "as-groups": ["a"]}}, "as-groups without as"),
    ({"context": {"user": "other"}}, "has no user other; there is: u"),
    ({"context": {"cluster": "other"}}, "has no cluster other; there is: c"),
    ({"exec": {"interactiveMode": "Always"}}, "needs a person at a terminal"),
    ({"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1"}}, "speaks .*v1alpha1; only"),
    ({"exec": {"command": ""}}, "names no command"),
]


@pytest.mark.parametrize(("said", "sentence"), REFUSED)
def test_an_unsupported_field_is_refused_in_a_sentence(
    tmp_path: Path, said: dict[str, Fields], sentence: str
):
    with pytest.raises(SettingsInvalid, match=sentence) as raised:
        from_context(written(tmp_path, **said))
    assert "secret" not in str(raised.value)
