"""A client of a notebook's kernel that uses Jupyter's own API, as a browser does."""

import json
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import websocket


class Kernel:
    """A kernel started on the server behind a notebook service's URL."""

    def __init__(self, url: str, kernel_id: str = "") -> None:
        """kernel_id: the id of a running kernel; "" starts a new one."""
        parts = urlsplit(url)
        self._token = parse_qs(parts.query)["token"][0]
        self._base = f"{parts.scheme}://{parts.netloc}"
        self.id = kernel_id or self.api("POST", "/api/kernels", {"name": "python3", "path": ""}).json()["id"]

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"token {self._token}"}
        response = httpx.request(method, self._base + path, json=body, headers=headers, timeout=60)
        response.raise_for_status()
        return response

    def run(self, code: str, *, seconds: float = 120) -> str:
        """The output of the code. Raises AssertionError with the output and the traceback when it fails."""
        url = f"{self._base.replace('http', 'ws', 1)}/api/kernels/{self.id}/channels?token={self._token}"
        socket = websocket.create_connection(url, timeout=seconds)
        try:
            request = _request(code)
            socket.send(json.dumps(request))
            printed = ""
            while True:
                message = json.loads(socket.recv())
                if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                    continue
                content, kind = message["content"], message["msg_type"]
                if kind == "stream":
                    printed += content["text"]
                assert kind != "error", "\n".join([printed, *content["traceback"]])
                if kind == "status" and content["execution_state"] == "idle":
                    return printed
        finally:
            socket.close()

    def end(self) -> None:
        self.api("DELETE", f"/api/kernels/{self.id}")

    def save(self, path: str, source: str) -> None:
        """Save a notebook with one cell."""
        cell: dict[str, Any] = {
            "cell_type": "code",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self.api("PUT", f"/api/contents/{path}", {"type": "notebook", "format": "json", "content": content})

    def read(self, path: str) -> str:
        found: str = self.api("GET", f"/api/contents/{path}").json()["content"]["cells"][0]["source"]
        return found


def _request(code: str) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": uuid.uuid4().hex,
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "allow_stdin": False,
        "stop_on_error": False,
    }
    header |= {"version": "5.3", "date": ""}
    return {
        "header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []
    }  # fmt: skip


def page(cluster: dict[str, Any], name: str) -> str:
    """The URL of a service of a cluster."""
    url = next(service["url"] for service in cluster["services"] if service["name"] == name)
    assert isinstance(url, str), cluster["services"]
    return url
