"""The OpenAPI document avoids everything that makes common client generators drop an endpoint."""

from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS

from controlplane.api.documents import openapi_document


def nodes(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, dict):
        yield path, tree
        for key, inner in tree.items():
            yield from nodes(inner, f"{path}/{key}")
    elif isinstance(tree, list):
        for index, inner in enumerate(tree):
            yield from nodes(inner, f"{path}/{index}")


def schemas() -> list[tuple[str, dict[str, Any]]]:
    return [(path, node) for path, node in nodes(openapi_document()) if "/examples" not in path]


def test_the_default_of_an_enumeration_is_one_of_it() -> None:
    wrong = [
        path for path, node in schemas()
        if isinstance(node.get("enum"), list) and "default" in node and node["default"] not in node["enum"]
    ]  # fmt: skip
    assert wrong == []


def test_every_array_has_an_item_type() -> None:
    arrays = [
        (path, node) for path, node in schemas()
        if node.get("type") in ("array", ["array", "null"]) and not path.endswith("/properties")
    ]  # fmt: skip
    assert len(arrays) > 20
    assert [path for path, node in arrays if "items" not in node] == []


def test_a_header_is_one_plain_string() -> None:
    headers = [node for _, node in schemas() if node.get("in") == "header"]
    assert {header["name"] for header in headers} == {"If-Match", "Idempotency-Key"}
    assert {header["schema"].get("type") for header in headers} == {"string"}


@pytest.mark.parametrize(("tag", "status"), [('"1"', 202), ("*", 202), ('"9"', 412)])
def test_if_match_accepts_what_its_schema_says(world: Any, tag: str, status: int) -> None:
    world.ready("one")
    assert world.bob.post("clusters/one:stop", If_Match=tag).status == status


def test_the_document_names_the_base_path() -> None:
    assert openapi_document()["servers"] == [{"url": "/"}]


def test_no_two_schemas_have_the_same_name(capsys: pytest.CaptureFixture[str]) -> None:
    GENERATOR_STATS.reset()
    openapi_document.cache_clear()
    openapi_document()
    assert "identical names" not in capsys.readouterr().err
