import re

from tenants.errors import NotFound
from tenants.models import User
from tenants.names import USERNAME_PATTERN


def account_lock(username: str) -> User:
    """The row of the user, locked until commit. NOT_FOUND for deleted users too."""
    known = re.fullmatch(USERNAME_PATTERN, username)
    users = User.objects.select_for_update(no_key=True).filter(username=username, deleted_at=None)
    user = users.first() if known else None
    if user is None:
        raise NotFound
    return user
