from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.utils.crypto import salted_hmac

from tenants.ids import new_id
from tenants.names import USERNAME_PATTERN


class User(AbstractUser):
    """A person who signs in, or a service account, which has tokens alone.

    is_superuser: a site admin. is_active False: disabled, no session and no token works. deleted_at: the row and
    its name stay, because ledger and audit name them. password_temporary_until: a site admin set the password; it
    is good for one change until then. session_epoch: sessions of an earlier epoch have ended.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(rf"^{USERNAME_PATTERN}\Z")]
    )
    is_service = models.BooleanField(default=False, db_default=False)
    password_temporary_until = models.DateTimeField(null=True, blank=True)
    session_epoch = models.IntegerField(default=0, db_default=0)
    deleted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.username

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a session must carry: it ends with a change of the password or of the epoch."""
        value = f"{self.session_epoch}:{self.password}"
        return salted_hmac("tenants.User.session", value, secret=secret, algorithm="sha256").hexdigest()


class Attempt(models.Model):
    """Wrong secrets of one name, device or address, by the digest of its key. See tenants.attempts.

    level: how many there were, less what time has forgiven. Rows that are a day old are removed.
    """

    key = models.CharField(primary_key=True, max_length=64)
    level = models.FloatField()
    at = models.DateTimeField()
    blocked_until = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="attempt_by_age")]

    def __str__(self) -> str:
        return f"{self.level} attempts of {self.key[:8]}"
