"""A Spark Connect session with the token of its server, where that stands at no name but an address.

    from slipway_connect import session
    spark = session("127.64.0.5:15002", token)

Spark's own client sends a token only under TLS, or to the name "localhost". On a machine's loopback addresses, and
behind a network policy, it may go as it is; across any other network it must not.
"""

import ipaddress
from typing import Any

import grpc
from pyspark.sql.connect.client.core import ChannelBuilder
from pyspark.sql.connect.session import SparkSession


class TokenChannel(ChannelBuilder):
    """A channel without TLS whose every call carries the token."""

    def __init__(self, endpoint: str, token: str) -> None:
        # A proxy does not lead to a cluster's own addresses.
        super().__init__(channelOptions=[("grpc.enable_http_proxy", 0)])
        self._endpoint, self._token = endpoint, token

    @property
    def host(self) -> str:
        return self._endpoint.rpartition(":")[0]

    @property
    def endpoint(self) -> str:
        return self._endpoint

    def toChannel(self) -> grpc.Channel:  # noqa: N802 - Spark's name
        return grpc.intercept_channel(self._insecure_channel(self._endpoint), WithToken(self._token))


class WithToken(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor
):
    def __init__(self, token: str) -> None:
        self._token = token

    def _add(self, go_on: Any, details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._token}")]
        return go_on(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = _add


def session(endpoint: str, token: str) -> SparkSession:
    """Raises ValueError for an endpoint to which a token must not go unencrypted."""
    address = ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))
    if not address.is_private:
        raise ValueError("a token goes unencrypted to private and loopback addresses only")
    return SparkSession.builder.channelBuilder(TokenChannel(endpoint, token)).create()
