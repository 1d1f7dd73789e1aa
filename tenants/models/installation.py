from django.db import models


class InstallationKey(models.Model):
    """Which key this database was written with: one row, with a fingerprint that tells nothing of the key."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    fingerprint = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="installationkey_is_one"),
        ]

    def __str__(self) -> str:
        return self.fingerprint
