"""Errors whose message is for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REFUSED = 78
"""The exit code of a child that failed with an ExpectedError; its last line of output is the message."""


class ExpectedError(Exception):
    """A failure without a stack trace: its message says what is wrong and what to do."""


def disk_full(where: Path) -> ExpectedError:
    return ExpectedError(f"The disk that holds {where} is full: free some space there and start again.")


@contextmanager
def plain_file_errors(where: Path) -> Iterator[None]:
    """Turn the OSError of a full disk or a refused write below `where` into an ExpectedError."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise disk_full(where) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ExpectedError(
                f"cannot write {error.filename or where} ({error.strerror}): "
                "choose another folder with --data-dir."
            ) from error
        raise
