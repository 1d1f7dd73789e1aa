"""The compiled encoder writes the same as the framework's encoder."""

import uuid
from datetime import UTC, datetime

import pytest
from rest_framework.renderers import JSONRenderer

from controlplane.api.renderers import FastJSONRenderer
from controlplane.clusters.phases import Phase

ALIKE = [
    None,
    {},
    {"items": [], "next_page_token": ""},
    {"text": 'é \u2028 \u2029 \x07 "quoted" \\ </script>', "number": -1, "half": 0.5, "no": False},
    {"phase": Phase.READY, "pair": (1, 2), "id": uuid.UUID(int=1)},
    {"at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
    {"whole": 10**30},
    {"nested": [[{"deep": [1, {"deeper": None}]}]]},
]


@pytest.mark.parametrize("data", ALIKE)
def test_it_writes_the_same_as_the_framework(data: object) -> None:
    assert FastJSONRenderer().render(data) == JSONRenderer().render(data)


def test_a_value_that_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError):
        FastJSONRenderer().render({"what": object()})
