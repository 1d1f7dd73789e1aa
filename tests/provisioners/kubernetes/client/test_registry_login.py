"""Settings of a site that apply to all its pods: registry logins, priority and runtime classes, annotations."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.provisioners.base import SiteUnknown
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import SiteSettings
from tests.provisioners.kubernetes.rendered import SETTINGS, objects, of_kind
from tests.provisioners.launching import cluster, desired

LOGIN = {"auths": {"registry.example": {"auth": "c2VjcmV0"}}}
ANNOTATIONS = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LOGIN))
    return tmp_path / "config.json"


@pytest.fixture
def settings(file: Path) -> SiteSettings:
    return replace(SETTINGS, registry_auth=str(file), pull_secrets=("theirs",))


def logins(found: list[Body]) -> list[Body]:
    return [body for body in of_kind(found, "Secret") if body["type"] == "kubernetes.io/dockerconfigjson"]


def test_pods_use_the_registry_login_of_the_site(settings: SiteSettings):
    found = objects(desired(cluster()), settings)
    [login], [pod] = logins(found), of_kind(found, "Pod")
    assert json.loads(base64.b64decode(login["data"][".dockerconfigjson"])) == LOGIN
    assert pod["spec"]["imagePullSecrets"] == [{"name": "theirs"}, {"name": login["metadata"]["name"]}]
    assert login["metadata"]["ownerReferences"] == pod["metadata"]["ownerReferences"]


def test_a_renewed_login_is_a_new_secret(settings: SiteSettings, file: Path):
    wish = desired(cluster())
    [before] = logins(objects(wish, settings))
    file.write_text(json.dumps({"auths": {"registry.example": {"auth": "bmV3"}}}))
    [after] = logins(objects(wish, settings))
    assert before["metadata"]["name"] != after["metadata"]["name"]


@pytest.mark.parametrize("content", ["", "{}", '{"auths": {}}', "[]"])
def test_an_invalid_login_file_raises_site_settings(settings: SiteSettings, file: Path, content: str):
    file.write_text(content)
    with pytest.raises(SiteUnknown, match=r"SITE_SETTINGS.*needs auths"):
        objects(desired(cluster()), settings)


def test_classes_and_annotations_of_the_site_are_on_its_pods():
    settings = replace(
        SETTINGS, priority_class="people", runtime_class="gvisor", pod_annotations=dict(ANNOTATIONS)
    )
    [pod] = of_kind(objects(desired(cluster()), settings), "Pod")
    assert (pod["spec"]["priorityClassName"], pod["spec"]["runtimeClassName"]) == ("people", "gvisor")
    assert ANNOTATIONS.items() <= pod["metadata"]["annotations"].items()


def test_an_app_can_have_its_own_classes():
    apps = {"tiny": {"runtime_class": "kata"}}
    settings = replace(SETTINGS, priority_class="people", runtime_class="gvisor", apps=apps)
    [pod] = of_kind(objects(desired(cluster()), settings), "Pod")
    assert (pod["spec"]["priorityClassName"], pod["spec"]["runtimeClassName"]) == ("people", "kata")


def test_without_settings_nothing_is_added():
    [pod] = of_kind(objects(desired(cluster())), "Pod")
    assert not {"imagePullSecrets", "priorityClassName", "runtimeClassName"} & set(pod["spec"])
