import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates.placeholders import BadPlaceholder, names, render, setting_values


def test_a_placeholder_is_replaced_by_its_value():
    assert render("http://{address}:{port.rpc}/", {"address": "::1", "port.rpc": "80"}) == "http://::1:80/"


def test_a_doubled_brace_is_a_literal_brace():
    assert render('{{"cores": {cores}}}', {"cores": "2"}) == '{"cores": 2}'


def test_placeholders_in_values_are_not_replaced():
    assert render("{setting.a}", {"setting.a": "{secret.key}", "secret.key": "x"}) == "{secret.key}"


def test_names_are_listed_once():
    assert names("{a} {a} {peers.worker.web-ui} {{b}}") == {"a", "peers.worker.web-ui"}


@pytest.mark.parametrize("text", ["{", "}", "a{b", "{}", "{A}", "{a b}", "{{}", "{a}}"])
def test_an_unmatched_brace_is_refused(text):
    with pytest.raises(BadPlaceholder, match="brace"):
        names(text)


def test_the_line_of_an_unmatched_brace_is_named():
    with pytest.raises(BadPlaceholder, match="line 3"):
        names("a\nb\n{\n")


def test_an_unknown_name_is_refused():
    with pytest.raises(BadPlaceholder, match=r"\{secret\.other\} has no value here"):
        render("{secret.other}", {"secret.key": "x"})


@pytest.mark.parametrize(
    "char", ["\n", "\r", "\0", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"]
)
def test_a_value_cannot_add_a_line(char):
    with pytest.raises(BadPlaceholder, match="control character") as refusal:
        render("label={setting.label}", {"setting.label": f"top-secret{char}admin=true"})
    assert "top-secret" not in str(refusal.value)


def test_settings_are_written_as_in_json():
    settings = {"on": True, "count": 3, "ratio": 0.5, "name": "Zoë"}
    assert setting_values(settings) == {
        "setting.on": "true",
        "setting.count": "3",
        "setting.ratio": "0.5",
        "setting.name": "Zoë",
    }


@settings(deadline=None)
@given(st.text())
def test_text_with_its_braces_doubled_renders_to_itself(text):
    assert render(text.replace("{", "{{").replace("}", "}}"), {}) == text
