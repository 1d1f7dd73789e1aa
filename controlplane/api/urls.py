from django.urls import URLPattern, URLResolver, include, path

from controlplane.api import converters, documents
from controlplane.api.v1 import (
    apps,
    audit,
    clusters,
    events,
    limits,
    logs,
    me,
    members,
    nodes,
    operations,
    shares,
    sites,
    targets,
    templates,
    tenants,
    tokens,
    usage,
    users,
)

converters.register()

_cluster: list[URLPattern | URLResolver] = [
    path("", clusters.OneCluster.as_view()),
    path(":start", clusters.ClusterStart.as_view()),
    path(":stop", clusters.ClusterStop.as_view()),
    path(":release", clusters.ClusterRelease.as_view()),
    path(":restart", clusters.ClusterRestart.as_view()),
    path(":resize", clusters.ClusterResize.as_view()),
    path("/shares", shares.Shares.as_view()),
    path("/shares/<ident:user>", shares.Share.as_view()),
    path("/nodes", nodes.Nodes.as_view()),
    path("/nodes/<ident:node>/logs", logs.Logs.as_view()),
    path("/events", events.ClusterEvents.as_view()),
]

_template: list[URLPattern | URLResolver] = [
    path("", templates.OneTemplate.as_view()),
    path("/revisions", templates.Revisions.as_view()),
    path(":rollback", templates.TemplateRollback.as_view()),
    path(":publish", templates.TemplatePublish.as_view()),
    path(":deprecate", templates.TemplateDeprecate.as_view()),
]

_tenant: list[URLPattern | URLResolver] = [
    path("", tenants.OneTenant.as_view()),
    path(":suspend", tenants.TenantSuspend.as_view()),
    path(":resume", tenants.TenantResume.as_view()),
    path("/members", members.Members.as_view()),
    path("/members/<ident:user>", members.Member.as_view()),
    path("/limits", limits.TenantLimits.as_view()),
    path("/limits/members", limits.AllMemberLimits.as_view()),
    path("/limits/members/<ident:user>", limits.MemberLimits.as_view()),
    path("/usage", usage.TenantUsage.as_view()),
    path("/templates", templates.Templates.as_view()),
    path("/templates/<ident:template>", include(_template)),
    path("/clusters", clusters.Clusters.as_view()),
    path("/clusters/<ident:cluster>", include(_cluster)),
    path("/operations", operations.Operations.as_view()),
    path("/operations/<ident:operation>", operations.OneOperation.as_view()),
    path("/operations/<ident:operation>:cancel", operations.OperationCancel.as_view()),
    path("/targets", targets.Targets.as_view()),
    path("/audit", audit.Audit.as_view()),
    path("/audit:export", audit.AuditExport.as_view()),
]

urlpatterns = [
    path("openapi.json", documents.openapi, name="openapi"),
    path("docs", documents.Docs.as_view(url_name="openapi")),
    path("me", me.Me.as_view()),
    path("me/password", me.MyPassword.as_view()),
    path("me:end-sessions", me.EndSessions.as_view()),
    path("tokens", tokens.Tokens.as_view()),
    path("tokens/<ident:token>", tokens.Token.as_view()),
    path("users", users.Users.as_view()),
    path("users/<ident:user>", users.OneUser.as_view()),
    path("users/<ident:user>:disable", users.UserDisable.as_view()),
    path("users/<ident:user>:enable", users.UserEnable.as_view()),
    path("users/<ident:user>:reset-password", users.UserResetPassword.as_view()),
    path("users/<ident:user>/tokens", users.UserTokens.as_view()),
    path("audit", audit.SiteAudit.as_view()),
    path("audit:export", audit.SiteAuditExport.as_view()),
    path("sites", sites.Sites.as_view()),
    path("apps", apps.Apps.as_view()),
    path("tenants", tenants.Tenants.as_view()),
    path("tenants/<ident:tenant>", include(_tenant)),
]
