"""How the settings of a Kubernetes site are parsed."""

from typing import Any

import pytest

from controlplane.provisioners.kubernetes.settings import Placement, SettingsInvalid, SiteSettings

TAINT = {"key": "big", "operator": "Exists"}


def parsed(**said: Any) -> SiteSettings:
    accounts = {"provision": {"kubeconfig": "/nowhere"}}
    return SiteSettings.parse({"installation": "0" * 16, "accounts": accounts, **said})


def test_an_app_has_the_placement_of_the_site_by_default():
    settings = parsed(node_selector={"pool": "a"}, storage_class="slow", apps={"spark": {}})
    assert settings.placement("spark") == settings.placement("dask") == Placement({"pool": "a"}, (), "slow")


def test_settings_of_an_app_replace_those_of_the_site():
    spark = {"node_selector": {"pool": "big"}, "tolerations": [TAINT]}
    settings = parsed(node_selector={"zone": "b"}, storage_class="slow", apps={"spark": spark})
    assert settings.placement("spark") == Placement({"pool": "big"}, (TAINT,), "slow")
    assert settings.placement("dask") == Placement({"zone": "b"}, (), "slow")


def test_an_unknown_setting_of_an_app_is_refused():
    with pytest.raises(SettingsInvalid, match=r"apps\.spark has no setting colour"):
        parsed(apps={"spark": {"colour": "red"}})
