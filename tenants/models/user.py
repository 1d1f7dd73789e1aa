from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.utils.crypto import salted_hmac

from tenants.ids import new_id
from tenants.names import USERNAME_PATTERN


class User(AbstractUser):
    """A person who signs in, or the service account of a program, which has only tokens.

    is_superuser: a site admin. is_active False: disabled, so that no session and no token works. deleted_at: the row
    and its name stay, because the ledger and the audit refer to them. password_temporary_until: a site admin set the
    password, and until then the user can sign in only to change it. session_epoch: raising it ends all sessions.
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
        """The hash that Django stores in a session. A change of the password or the epoch ends the session."""
        value = f"{self.session_epoch}:{self.password}"
        return salted_hmac("tenants.User.session", value, secret=secret, algorithm="sha256").hexdigest()


class SignInThrottle(models.Model):
    """The wrong attempts of one name, device or address; see tenants.sign_in_throttle.

    key: a digest. level: the number of wrong attempts less those that time has forgiven. Rows are removed after a day.
    """

    key = models.CharField(primary_key=True, max_length=64)
    level = models.FloatField()
    at = models.DateTimeField()
    blocked_until = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="signinthrottle_by_age")]

    def __str__(self) -> str:
        return f"{self.level} wrong attempts of {self.key[:8]}"
