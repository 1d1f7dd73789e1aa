"""Reads pages as a browser without scripts: forms with their fields, and buttons with their state."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Button:
    label: str
    is_disabled: bool
    title: str


class Reader(HTMLParser):
    """The forms, buttons and links of a page. inline: scripts, styles and handlers that a strict policy blocks."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.buttons: list[Button] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.controls: list[str] = []
        self._in_form = False
        self._in_button = False
        self._needs_text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        attrs = {name: value or "" for name, value in pairs}
        self._needs_text = tag if tag == "style" or (tag == "script" and "src" not in attrs) else ""
        self.inline += [f"{tag} {name}" for name in attrs if name == "style" or name.startswith("on")]
        self.inline += [f"{tag} {value}" for value in attrs.values() if value.startswith("javascript:")]
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs.get("href", ""))
        elif tag == "label":
            self.labels.append(attrs.get("for", ""))
        elif tag == "form":
            self.forms.append(Form(attrs.get("action", ""), attrs.get("method", "get")))
            self._in_form = True
        elif tag == "button":
            label = attrs.get("aria-label", "")
            self.buttons.append(Button(label, "disabled" in attrs, attrs.get("title", "")))
            self._in_button = not label
        elif tag in {"input", "select"}:
            self._control(attrs)

    def _control(self, attrs: dict[str, str]) -> None:
        if attrs.get("type") != "hidden" and "hidden" not in attrs:
            self.controls.append(attrs.get("id", ""))
        is_off = attrs.get("type") == "checkbox" and "checked" not in attrs
        if self._in_form and "name" in attrs and not is_off:
            self.forms[-1].fields[attrs["name"]] = attrs.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._needs_text = ""
        if tag == "form":
            self._in_form = False
        elif tag == "button":
            self._in_button = False

    def handle_data(self, data: str) -> None:
        if self._needs_text and data.strip():
            self.inline.append(self._needs_text)
        if self._in_button:
            self.buttons[-1].label += data.strip()


def read(response: Any) -> Reader:
    return Reader(response.content.decode())


def forms(response: Any, action: str) -> list[Form]:
    """The forms of the page with this `action`, with the values that they send unchanged."""
    return [form for form in read(response).forms if form.action == action]


def disabled(response: Any, label: str) -> str | None:
    """The title of a disabled button, which says why; None for a button that can be used."""
    found = [button for button in read(response).buttons if button.label == label]
    assert found, f"no button {label}"
    return found[0].title if found[0].is_disabled else None


def tile_of(response: Any, title: str) -> str:
    """The tile of that title, as HTML."""
    tiles: list[str] = response.content.decode().split('<li class="card tile">')[1:]
    return next(tile.partition("</li>")[0] for tile in tiles if f"<h3>{title}</h3>" in tile)
