"""All settings. They come from the environment, and each has a default.

Every secret NAME may be given as NAME_FILE instead: the path of a file that contains it.
"""

import json
import os
from ipaddress import ip_network
from pathlib import Path

import dj_database_url
import structlog

BASE_DIR = Path(__file__).resolve().parent.parent


def env(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def env_bool(name: str, *, default: bool = False) -> bool:
    return env(name, str(default)).lower() in {"1", "true", "yes", "on"}


def env_list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in env(name, default).split(",") if item.strip()]


def secret(name: str, default: str = "") -> str:
    path = env(f"{name}_FILE")
    return Path(path).read_text().strip() if path else env(name, default)


DEBUG = env_bool("SLIPWAY_DEBUG")
# When unset, each process makes a random key. Sessions then end with the process.
SECRET_KEY = secret("SLIPWAY_SECRET_KEY") or os.urandom(32).hex()
# Run secrets of clusters and the audit seal derive from this key; it must outlive the database's backups.
INSTALLATION_KEY = secret("SLIPWAY_INSTALLATION_KEY") or SECRET_KEY
# The bearer token of Prometheus. When unset, only tokens of site admins with the scope metrics:read open /metrics.
METRICS_TOKEN = secret("SLIPWAY_METRICS_TOKEN")
# Addresses and networks whose X-Forwarded-For is trusted. The client is the last address that is not one of them.
TRUSTED_PROXIES = [ip_network(item) for item in env_list("SLIPWAY_TRUSTED_PROXIES")]
ALLOWED_HOSTS = env_list("SLIPWAY_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("SLIPWAY_TRUSTED_ORIGINS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env_bool("SLIPWAY_SECURE_COOKIES")
SESSION_COOKIE_NAME = "slipway_session"
SESSION_COOKIE_SAMESITE = "Lax"
# A session ends after so many hours without a request for a page, and after so many hours in any case.
SESSION_IDLE_HOURS = float(env("SLIPWAY_SESSION_IDLE_HOURS", "12"))
SESSION_HOURS = float(env("SLIPWAY_SESSION_HOURS", "168"))
SESSION_COOKIE_AGE = int(SESSION_HOURS * 3600)
CSRF_FAILURE_VIEW = "controlplane.console.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"

DATA_DIR = Path(env("SLIPWAY_DATA_DIR") or BASE_DIR / "data")
# The port of the second listener with /healthz, /readyz and /metrics. 0 means any free port; run/health has the URL.
HEALTH_PORT = int(env("SLIPWAY_HEALTH_PORT", "0"))
VAULT_ADDR = env("VAULT_ADDR")
KUBECONFIG = env("KUBECONFIG")
# Adds the site "fake", whose clusters exist only as rows. It is for tests and benchmarks, never for users.
FAKE_SITE = env_bool("SLIPWAY_FAKE_SITE")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "tenants",
    "templates",
    "controlplane.work",
    "controlplane.clusters",
    "controlplane.reconciler",
    "controlplane.api",
    "controlplane.console",
    "controlplane",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "controlplane.api.middleware.ClientAddressMiddleware",
    "controlplane.api.middleware.RequestIdMiddleware",
    "controlplane.api.middleware.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"
ASGI_APPLICATION = "controlplane.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # DIRS is empty, because the package templates/ holds cluster templates and no HTML.
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": dj_database_url.parse(
        secret("DATABASE_URL", "postgresql://localhost/slipway"), conn_max_age=600, conn_health_checks=True
    )
}
# A process that is stopped in a transaction keeps its locks for no longer than this, in ms. Our transactions wait for
# nothing but the database, so none of them is idle for so long.
DATABASES["default"].setdefault("OPTIONS", {}).setdefault(
    "options", "-c idle_in_transaction_session_timeout=10000"
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login"
# Slipway uses only the models of guardian: the query that reads a cluster also reads its shares.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
GUARDIAN_MONKEY_PATCH_USER = False
ANONYMOUS_USER_NAME = None

KNOX_TOKEN_MODEL = "tenants.ApiToken"  # noqa: S105 - the name of a model
# Our model replaces knox's table, whose foreign key would prevent tests from truncating users.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": None, "AUTO_REFRESH": False, "TOKEN_PREFIX": "slw_"}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["controlplane.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["controlplane.api.renderers.FastJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["controlplane.api.parsers.BoundedJSONParser"],
    "EXCEPTION_HANDLER": "controlplane.api.errors.handle",
    "DEFAULT_SCHEMA_CLASS": "controlplane.api.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Slipway",
    "DESCRIPTION": "Tenants, templates and clusters of Spark, Dask and notebooks.",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
}

CELERY_BROKER_URL = secret("CELERY_BROKER_URL")
# Options of kombu's transport as JSON, such as the folders of filesystem://.
CELERY_TRANSPORT_OPTIONS = json.loads(env("SLIPWAY_BROKER_OPTIONS", "{}"))

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
STATIC_URL = "/static/"
# When unset, static files are served from the packages.
STATIC_ROOT = env("SLIPWAY_STATIC_ROOT") or None
WHITENOISE_USE_FINDERS = True
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.filter_by_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.JSONRenderer(),
            "foreign_pre_chain": [
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env("SLIPWAY_LOG_LEVEL", "INFO")},
    "loggers": {"django.server": {"level": "WARNING"}, "urllib3": {"level": "WARNING"}},
}
