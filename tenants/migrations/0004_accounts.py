"""Accounts can be disabled and deleted, and exist for programs too. Wrong sign-ins are counted."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_change_claim'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='deleted_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='is_service',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='user',
            name='password_temporary_until',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='session_epoch',
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.CreateModel(
            name='SignInThrottle',
            fields=[
                ('key', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('level', models.FloatField()),
                ('at', models.DateTimeField()),
                ('blocked_until', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['at'], name='signinthrottle_by_age')],
            },
        ),
    ]
