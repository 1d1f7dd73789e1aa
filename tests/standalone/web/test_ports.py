import socket

import pytest

from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.web.ports import HOST, port_check


def test_a_taken_port_is_named_in_a_clear_error() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ExpectedError, match=rf"^Port {taken} is taken by another program: .*--port"):
            port_check(taken)
    port_check(taken)
