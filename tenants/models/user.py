from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models

from tenants.ids import new_id
from tenants.names import USERNAME_PATTERN


class User(AbstractUser):
    """Somebody who can sign in. `is_superuser` makes a site admin; `is_active` False locks them out."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(rf"^{USERNAME_PATTERN}\Z")]
    )

    def __str__(self) -> str:
        return self.username
