"""What a site admin says of a site, as it is read."""

from typing import Any

import pytest

from controlplane.provisioners.kubernetes.settings import Placement, SettingsInvalid, SiteSettings

TAINT = {"key": "big", "operator": "Exists"}


def parsed(**said: Any) -> SiteSettings:
    accounts = {"provision": {"kubeconfig": "/nowhere"}}
    return SiteSettings.parse({"installation": "0" * 16, "accounts": accounts, **said})


def test_an_app_is_where_all_are_unless_something_is_said_of_it():
    settings = parsed(node_selector={"pool": "a"}, storage_class="slow", apps={"spark": {}})
    assert settings.placement("spark") == settings.placement("dask") == Placement({"pool": "a"}, (), "slow")


def test_what_is_said_of_an_app_takes_the_place_of_what_is_said_of_all():
    spark = {"node_selector": {"pool": "big"}, "tolerations": [TAINT]}
    settings = parsed(node_selector={"zone": "b"}, storage_class="slow", apps={"spark": spark})
    assert settings.placement("spark") == Placement({"pool": "big"}, (TAINT,), "slow")
    assert settings.placement("dask") == Placement({"zone": "b"}, (), "slow")


def test_what_nobody_understands_of_an_app_is_told():
    with pytest.raises(SettingsInvalid, match=r"apps\.spark has no setting colour"):
        parsed(apps={"spark": {"colour": "red"}})
