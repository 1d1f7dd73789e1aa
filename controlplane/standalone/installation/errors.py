"""The one error of this package that a person is meant to read."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REFUSED = 78
"""The exit code of a child whose last line is an ExpectedError."""


class ExpectedError(Exception):
    """A failure that needs no stack trace: its text is a sentence that says what to do."""


def disk_full(where: Path) -> ExpectedError:
    return ExpectedError(f"The disk that holds {where} is full: free some space there and start again.")


@contextmanager
def plain_file_errors(where: Path) -> Iterator[None]:
    """Turn a full disk and a refused write below `where` into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise disk_full(where) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ExpectedError(
                f"{error.filename or where} may not be written ({error.strerror}): "
                "choose another folder with --data-dir."
            ) from error
        raise
