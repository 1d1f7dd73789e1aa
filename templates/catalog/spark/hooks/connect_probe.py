"""connect_probe HOST PORT: asks a Spark Connect server for its version, like a client that has the token.

The request is written as bytes, because importing Spark's own client takes many times as long as the call.
"""

import os
import re
import sys
import uuid

import grpc

ANSWER_SECONDS = 3
SERVICE = "/spark.connect.SparkConnectService/"
# Fields 1 (session_id) and 2 (user_context with user_id) of every request; field 10 asks for the version.
USER = b"\x12\x07\n\x05probe"
VERSION = b"R\x00"


def main(host: str, port: str) -> None:
    with open(os.path.join(os.environ["SLIPWAY_DIR_CONF"], "connect-token"), encoding="utf-8") as file:
        token = [("authorization", f"Bearer {file.read().strip()}")]
    session = b"\n$" + str(uuid.uuid4()).encode() + USER
    with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = channel.unary_unary(f"{SERVICE}AnalyzePlan")(
                session + VERSION, metadata=token, timeout=ANSWER_SECONDS
            )
            # The server would keep this session for an hour.
            channel.unary_unary(f"{SERVICE}ReleaseSession")(session, metadata=token, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise SystemExit(f"Spark Connect answers {error.code().name}") from None
    found = re.search(rb"\d+\.\d+\.\d+", answer)
    if found is None:
        raise SystemExit("Spark Connect does not say its version")
    print(found[0].decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
