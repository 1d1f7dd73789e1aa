import pytest

from tenants.errors import Invalid
from tenants.ids import new_id
from tenants.names import parse_id, validate_name, validate_text, validate_username


@pytest.mark.parametrize("name", ["ab", "etl-1", "a" * 40, "a0"])
def test_good_names(name: str):
    assert validate_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a", "A1", "1a", "-a", "a-", "a" * 41, "a_b", "a.b", "a:stop", "a\n", "ä1", "a b", None, 1, True],
)
def test_bad_names_say_what_is_accepted_and_where(name: object):
    with pytest.raises(Invalid) as refusal:
        validate_name(name, "/groups/0/name")
    assert refusal.value.errors[0]["pointer"] == "/groups/0/name"


def test_a_name_is_never_like_an_id():
    like_an_id = "a" + str(new_id())[1:]
    for name in (like_an_id, like_an_id.replace("-", "")):
        with pytest.raises(Invalid):
            validate_name(name)
        with pytest.raises(Invalid):
            validate_username(name)


@pytest.mark.parametrize("name", ["b", "bob", "bob.b_c-d", "b" * 63])
def test_good_user_names(name: str):
    assert validate_username(name) == name


@pytest.mark.parametrize("name", ["", "Bob", "b:b", "b@b", "b" * 64, "bob\n", ".bob"])
def test_bad_user_names(name: str):
    with pytest.raises(Invalid):
        validate_username(name)


@pytest.mark.parametrize("text", ["", "  ", "a" * 11, "a\x00b", "a\nb", 3])
def test_bad_text(text: object):
    with pytest.raises(Invalid):
        validate_text(text, "/display_name", longest=10)


def test_ids_are_read_only_in_their_usual_form():
    spelled = new_id()
    assert parse_id(str(spelled)) == spelled
    assert parse_id(spelled.hex) is None
    assert parse_id("etl-1") is None


def test_ids_are_ordered_by_time_and_never_equal():
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert {found.version for found in ids} == {7}
