from django.urls import path, register_converter
from django.views.generic import RedirectView

from controlplane.console import (
    account,
    cluster,
    clusters,
    delete,
    home,
    logs,
    resize,
    sign_in,
    tenants,
    users,
    verbs,
)

app_name = "console"

register_converter(verbs.VerbConverter, "console_verb")

urlpatterns = [
    path("login", sign_in.SignIn.as_view(), name="login"),
    path("logout", sign_in.SignOut.as_view(), name="logout"),
    path("", home.start, name="start"),
    path("account", account.account, name="account"),
    path("account/sign-out-everywhere", account.sign_out_everywhere, name="sign_out_everywhere"),
    path("account/tokens", account.tokens, name="tokens"),
    path("account/tokens/<uuid:token>/revoke", account.token_end, name="token_end"),
    path("users", users.all_users, name="users"),
    path("users/new", users.new_user, name="user_new"),
    path("users/u/<str:name>", users.one_user, name="user"),
    path("users/u/<str:name>/delete", users.delete_user, name="user_delete"),
    path("users/u/<str:name>/tokens/<uuid:token>/revoke", users.end_token, name="user_token_end"),
    path("tenants", tenants.tenants, name="tenants"),
    path("t/<str:tenant>", RedirectView.as_view(pattern_name="console:home")),
    path("t/<str:tenant>/", home.home, name="home"),
    path("t/<str:tenant>/launch", home.launch, name="launch"),
    path("t/<str:tenant>/clusters", clusters.clusters, name="clusters"),
    path("t/<str:tenant>/clusters/<str:cluster>", cluster.cluster, name="cluster"),
    path("t/<str:tenant>/clusters/<str:cluster>/resize", resize.resize, name="resize"),
    path("t/<str:tenant>/clusters/<str:cluster>/delete", delete.delete, name="delete"),
    path("t/<str:tenant>/clusters/<str:cluster>/<console_verb:verb>", verbs.verb, name="verb"),
    path("t/<str:tenant>/clusters/<str:cluster>/nodes/<str:node>/log", logs.log, name="log"),
]
