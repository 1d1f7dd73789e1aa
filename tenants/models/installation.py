from django.db import models


class InstallationKey(models.Model):
    """The fingerprint of the key that this database was written with, which does not reveal the key. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    fingerprint = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="installationkey_is_one"),
        ]

    def __str__(self) -> str:
        return self.fingerprint
