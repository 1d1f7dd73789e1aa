"""Reads how to reach an API server: from a kubeconfig as kubectl reads it, or from the settings of a site.

Every field of a kubeconfig is used, has no effect on Slipway, or is refused with a message; FIELDS lists all.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import yaml

from controlplane.provisioners.kubernetes.settings import Reach, SettingsInvalid

Fields = Mapping[str, Any]

HONOURED, NO_EFFECT = "honoured", "no effect"
OLD_PROVIDER = (
    "auth-provider, which kubectl dropped in 1.26 for exec plugins: use the exec plugin of your provider, a token or a "
    "client certificate"
)
# Kind of entry -> field -> HONOURED, NO_EFFECT, or a text that says what is refused and what to do instead.
FIELDS: dict[str, dict[str, str]] = {
    "cluster": {
        "server": HONOURED,
        "certificate-authority": HONOURED,
        "certificate-authority-data": HONOURED,
        "insecure-skip-tls-verify": HONOURED,
        "tls-server-name": HONOURED,
        "proxy-url": HONOURED,
        # Slipway never asks for compressed answers.
        "disable-compression": NO_EFFECT,
        # Passed to a plugin that asks for it.
        "extensions": HONOURED,
    },
    "user": {
        "client-certificate": HONOURED,
        "client-certificate-data": HONOURED,
        "client-key": HONOURED,
        "client-key-data": HONOURED,
        "token": HONOURED,
        "tokenFile": HONOURED,
        "username": HONOURED,
        "password": HONOURED,
        "as": HONOURED,
        "as-uid": HONOURED,
        "as-groups": HONOURED,
        "as-user-extra": HONOURED,
        "exec": HONOURED,
        "auth-provider": OLD_PROVIDER,
        "extensions": NO_EFFECT,
    },
    # Every call names its namespace.
    "context": {"cluster": HONOURED, "user": HONOURED, "namespace": NO_EFFECT, "extensions": NO_EFFECT},
    "exec": {
        "apiVersion": HONOURED,
        "command": HONOURED,
        "args": HONOURED,
        "env": HONOURED,
        "installHint": HONOURED,
        "provideClusterInfo": HONOURED,
        "interactiveMode": HONOURED,
    },
}
EXEC_GROUP = "client.authentication.k8s.io"
EXEC_VERSIONS = (f"{EXEC_GROUP}/v1", f"{EXEC_GROUP}/v1beta1")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate, key or token: the data itself, or a file that is read again when it changes."""

    data: bytes = field(default=b"", repr=False)
    file: str = ""

    def read(self) -> bytes:
        """Raises OSError."""
        return Path(self.file).read_bytes() if self.file else self.data

    def __bool__(self) -> bool:
        return bool(self.data or self.file)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program that prints credentials. cluster: the cluster's entry as JSON; "" when the plugin does not need it."""

    user: str
    command: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = field(repr=False)
    api_version: str = EXEC_VERSIONS[0]
    hint: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How an API server is reached.

    headers: sent with every call, in addition to the credentials. files: the kubeconfig files, missing ones too.
    """

    server: str
    ca: Material = Material()
    insecure: bool = False
    server_name: str = ""
    proxy: str = ""
    certificate: Material = Material()
    key: Material = Material()
    token: Material = Material()
    basic: str = field(default="", repr=False)
    plugin: Plugin | None = None
    headers: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()

    @property
    def watched(self) -> tuple[str, ...]:
        """Every file whose change may change the connection."""
        named = (each.file for each in (self.ca, self.certificate, self.key, self.token))
        return (*self.files, *filter(None, named))


def server_config(reach: Reach) -> ServerConfig:
    """Raises SettingsInvalid, OSError."""
    if reach.kubeconfig:
        return from_context(reach.kubeconfig, reach.context)
    if not reach.in_cluster:
        ca, token = Material(file=reach.ca_file), Material(file=reach.token_file)
        return ServerConfig(server=reach.server.rstrip("/"), ca=ca, token=token)
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}", "") for name in ("HOST", "PORT"))
    if not host:
        raise SettingsInvalid("This process does not run in a Kubernetes cluster.")
    address = f"https://{f'[{host}]' if ':' in host else host}:{port or 443}"
    ca, token = (Material(file=str(SERVICE_ACCOUNT / name)) for name in ("ca.crt", "token"))
    return ServerConfig(server=address, ca=ca, token=token)


def from_context(files: str, context: str = "") -> ServerConfig:
    """files: one or several as in KUBECONFIG. context "": the current one. Raises SettingsInvalid."""
    config = Config.read(files)
    name = context or config.current
    chosen = _checked("context", name, config.entry("contexts", name))
    cluster_name, user_name = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
    if not cluster_name:
        raise SettingsInvalid(f"Context {name} of {config.where} names no cluster.")
    cluster = config.entry("clusters", cluster_name)
    cluster_fields = _checked("cluster", cluster_name, cluster)
    user = config.entry("users", user_name) if user_name else Entry({}, "")
    user_fields = _checked("user", user_name, user)
    found = ServerConfig(
        **_cluster(cluster_name, cluster, cluster_fields),
        **_user(user_name, user, user_fields, cluster),
        files=config.files,
    )
    known = found.certificate or found.token or found.basic or found.plugin
    if urlsplit(found.server).scheme == "https" and not known:
        raise SettingsInvalid(
            f"Context {name} has no credentials: the API server would know us as system:anonymous. Give its user a "
            "token, a client certificate or an exec plugin."
        )
    return found


# -- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One named entry of a kubeconfig. folder: the folder of its file; paths in it are relative to this folder."""

    fields: Fields
    folder: str

    def material(self, what: str, file: str, data: str) -> Material:
        """Like kubectl: the data, if there is any, precedes the file."""
        if text := self.fields.get(data):
            try:
                return Material(data=base64.b64decode(str(text), validate=False))
            except (binascii.Error, ValueError) as error:
                raise SettingsInvalid(f"{what}: {data} is not base64.") from error
        name = str(self.fields.get(file) or "")
        return Material(file=os.path.join(self.folder, name)) if name else Material()


@dataclass(frozen=True, slots=True)
class Config:
    """Several files merged as kubectl does: for each name, and for the current context, the first file counts."""

    files: tuple[str, ...]
    read_in: tuple[tuple[str, Fields], ...]

    @classmethod
    def read(cls, files: str) -> "Config":
        """Skips missing files, as kubectl does. Raises SettingsInvalid when all are missing."""
        named = tuple(str(Path(file).absolute()) for file in files.split(os.pathsep) if file)
        there = [file for file in named if Path(file).exists()]
        if not there:
            raise SettingsInvalid(f"{' and '.join(named) or 'an empty name'}: there is no such file.")
        return cls(named, tuple((file, _parsed(file)) for file in there))

    @property
    def current(self) -> str:
        said = (str(config["current-context"]) for _, config in self.read_in if config.get("current-context"))
        if found := next(said, ""):
            return found
        raise SettingsInvalid(f"{self.where} has no current context: name one of {self.listed('contexts')}.")

    @property
    def where(self) -> str:
        return ", ".join(file for file, _ in self.read_in)

    def listed(self, kind: str) -> str:
        return ", ".join(dict.fromkeys(str(item.get("name")) for _, item in self._items(kind))) or "none"

    def entry(self, kind: str, name: str) -> Entry:
        """kind: clusters, users or contexts."""
        singular = kind[:-1]
        for file, item in self._items(kind):
            if item.get("name") == name:
                fields = item.get(singular) or {}
                if not isinstance(fields, dict):
                    raise SettingsInvalid(f"{file}: {singular} {name} is no mapping.")
                return Entry(fields, str(Path(file).parent))
        raise SettingsInvalid(f"{self.where} has no {singular} {name}; there is: {self.listed(kind)}.")

    def _items(self, kind: str) -> Iterator[tuple[str, Fields]]:
        for file, config in self.read_in:
            listed = config.get(kind) or []
            if not isinstance(listed, list):
                raise SettingsInvalid(f"{file}: {kind} is no list.")
            yield from ((file, item) for item in listed if isinstance(item, dict))


def _parsed(file: str) -> Fields:
    try:
        found = yaml.safe_load(Path(file).read_text())
    except OSError as error:
        raise SettingsInvalid(f"{file}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} is no kubeconfig.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsInvalid(f"{file} is no kubeconfig.")
    return found


# -- fields -------------------------------------------------------------------------------------------------------


def _checked(kind: str, name: str, entry: Entry) -> Fields:
    """The fields of an entry that are not empty. Raises SettingsInvalid for a field that Slipway refuses."""
    said = {key: value for key, value in entry.fields.items() if value not in (None, "", [], {}, False)}
    for key in said:
        treated = FIELDS[kind].get(key)
        if treated is None:
            raise SettingsInvalid(
                f"The {kind} {name} of the kubeconfig has a field {key} that Slipway does not know."
            )
        if treated not in (HONOURED, NO_EFFECT):
            raise SettingsInvalid(f"The {kind} {name} of the kubeconfig has {treated}.")
    return said


def _cluster(name: str, entry: Entry, said: Fields) -> dict[str, Any]:
    server, proxy = str(said.get("server") or "").rstrip("/"), str(said.get("proxy-url") or "")
    if urlsplit(server).scheme not in ("http", "https") or not urlsplit(server).hostname:
        raise SettingsInvalid(
            f"The cluster {name} of the kubeconfig needs an http or https address as server."
        )
    if proxy and (urlsplit(proxy).scheme != "http" or not urlsplit(proxy).hostname):
        raise SettingsInvalid(
            f"The cluster {name} of the kubeconfig has proxy-url {_bare(proxy)}: only http://HOST:PORT will do."
        )
    ca = entry.material(f"cluster {name}", "certificate-authority", "certificate-authority-data")
    insecure = said.get("insecure-skip-tls-verify") is True
    if insecure and ca:
        raise SettingsInvalid(
            f"The cluster {name} of the kubeconfig has a certificate authority and insecure-skip-tls-verify: "
            "remove one of them."
        )
    server_name = str(said.get("tls-server-name") or "")
    return {"server": server, "ca": ca, "insecure": insecure, "server_name": server_name, "proxy": proxy}


def _bare(address: str) -> str:
    """The address without user and password."""
    return address.rpartition("@")[2] if "@" in address else address


def _user(name: str, entry: Entry, said: Fields, cluster: Entry) -> dict[str, Any]:
    where = f"user {name}"
    certificate = entry.material(where, "client-certificate", "client-certificate-data")
    key = entry.material(where, "client-key", "client-key-data")
    if bool(certificate) != bool(key):
        raise SettingsInvalid(
            f"The {where} of the kubeconfig has a client certificate or a key, but not both."
        )
    token = Material(data=str(said.get("token") or "").encode())
    if said.get("tokenFile"):
        token = Material(file=os.path.join(entry.folder, str(said["tokenFile"])))
    basic = "username" in said or "password" in said
    if basic and token:
        raise SettingsInvalid(
            f"The {where} of the kubeconfig has a password and a token: remove one of them."
        )
    plain = f"{said.get('username', '')}:{said.get('password', '')}".encode()
    # Like kubectl: with a token or a password the plugin is not used.
    plugin = said.get("exec") if not (token or basic) else None
    return {
        "certificate": certificate,
        "key": key,
        "token": token,
        "basic": base64.b64encode(plain).decode() if basic else "",
        "plugin": _plugin(name, Entry(plugin, entry.folder), cluster) if plugin else None,
        "headers": tuple(_impersonation(name, said)),
    }


def _impersonation(name: str, said: Fields) -> Iterator[tuple[str, str]]:
    if "as" not in said:
        if strange := [key for key in ("as-uid", "as-groups", "as-user-extra") if key in said]:
            raise SettingsInvalid(
                f"The user {name} of the kubeconfig has {strange[0]} without as: name the user too."
            )
        return
    yield "Impersonate-User", str(said["as"])
    if "as-uid" in said:
        yield "Impersonate-Uid", str(said["as-uid"])
    yield from (("Impersonate-Group", str(group)) for group in _list(name, said, "as-groups"))
    extra = said.get("as-user-extra") or {}
    if not isinstance(extra, dict):
        raise SettingsInvalid(f"The user {name} of the kubeconfig has an as-user-extra that is no mapping.")
    for key in extra:
        for value in _list(name, extra, key):
            yield f"Impersonate-Extra-{quote(str(key).lower(), safe='')}", str(value)


def _list(name: str, said: Fields, key: str) -> Iterable[Any]:
    found = said.get(key) or []
    if not isinstance(found, list):
        raise SettingsInvalid(f"The user {name} of the kubeconfig has a {key} that is no list.")
    return found


def _plugin(user: str, entry: Entry, cluster: Entry) -> Plugin:
    if not isinstance(entry.fields, dict):
        raise SettingsInvalid(f"The user {user} of the kubeconfig has an exec that is no mapping.")
    said = _checked("exec", f"of user {user}", entry)
    version, command = str(said.get("apiVersion") or ""), str(said.get("command") or "")
    if not command:
        raise SettingsInvalid(f"The exec of user {user} names no command.")
    if version not in EXEC_VERSIONS:
        raise SettingsInvalid(
            f"The exec of user {user} speaks {version or 'no version'}; only {' and '.join(EXEC_VERSIONS)} will do: "
            f"install a newer {command} and write the kubeconfig again."
        )
    if said.get("interactiveMode") == "Always":
        raise SettingsInvalid(
            f"The exec of user {user} needs a person at a terminal (interactiveMode Always), and Slipway has none: use "
            "a plugin or a token that needs no input."
        )
    if os.sep in command:
        command = os.path.join(entry.folder, command)
    pairs = ((str(each["name"]), str(each["value"])) for each in _list(user, said, "env"))
    return Plugin(
        user=user,
        command=command,
        arguments=tuple(str(each) for each in _list(user, said, "args")),
        environment=tuple(pairs),
        api_version=version,
        hint=str(said.get("installHint") or "").strip(),
        cluster=json.dumps(_cluster_info(cluster)) if said.get("provideClusterInfo") else "",
    )


def _cluster_info(cluster: Entry) -> Fields:
    """The `spec.cluster` that a plugin gets, as its API defines it. Raises OSError."""
    extensions = [each for each in cluster.fields.get("extensions") or [] if isinstance(each, dict)]
    config = next(
        (each.get("extension") for each in extensions if each.get("name") == f"{EXEC_GROUP}/exec"), None
    )
    left_out = ("extensions", "certificate-authority", "disable-compression")
    kept = {key: value for key, value in cluster.fields.items() if key not in left_out}
    if ca := cluster.material("cluster", "certificate-authority", "certificate-authority-data").read():
        kept["certificate-authority-data"] = base64.b64encode(ca).decode()
    return kept if config is None else {**kept, "config": config}
