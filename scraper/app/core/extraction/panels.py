"""What a page shows when its reader asks for it: panels behind tabs and buttons, brought to light under what opens them."""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS
from app.core.extraction.furniture import FURNITURE_NAMES, NAVIGATION_ROLES, NEVER_AMID_TEXT, names

_WITH_ROLES: Final = etree.XPath(".//*[@role='tab' or @role='tabpanel' or @role='tablist']")
_OPENING: Final = etree.XPath(".//*[@aria-expanded and @aria-controls and not(@aria-haspopup)]")
_RADIOS: Final = etree.XPath(".//input[@type='radio' and @id and @name]")
_LABELS: Final = etree.XPath(".//label[@for]")
_NAMED: Final = etree.XPath(".//*[@id]")
_HIDING: Final = ("hidden", "aria-hidden", "style")
_HEADS: Final = HEADINGS | {"dt", "summary"}
_APART: Final = frozenset({"nav", "header", "footer", "aside", "dialog"})
_APART_ROLES: Final = NAVIGATION_ROLES | {"dialog", "alertdialog", "listbox", "tooltip"}
_ASKING: Final = ("form", "input", "select", "textarea", "nav")
# a panel that holds one of these is for doing something, not for reading
_QUESTION_MARKS: Final = ("?", "？", "؟", ";")
_BUTTON_LABEL_MAX: Final = 12
# a shorter one is "Copy", "Edit" and their like
_LABEL_MAX: Final = 60
_DIGITS_MAX: Final = 2
_NO_LETTERS: Final = re.compile(r"[\W_]+")
_LINKS: Final = 0.5
_LOOKED_AT_MAX: Final = 10_000_000
# characters of panels, all together: they may stand within each other
_STEPS_MAX: Final = 3
# so far, in elements, a button may stand from what it opens


def unfold(body: HtmlElement) -> None:
    """Show what a page hides until it is asked for, in place."""
    _unfold_tabs(body)
    _unfold_choices(body)
    _unfold_buttons(body)
    _keep_heading_buttons(body)


def _show(panel: HtmlElement) -> None:
    for name in _HIDING:
        panel.attrib.pop(name, None)


def _head(panel: HtmlElement, label: str) -> None:
    heading = panel.makeelement("p")
    etree.SubElement(heading, "strong").text = label
    heading.tail, panel.text = panel.text, None
    panel.insert(0, heading)


def _text(element: HtmlElement) -> str:
    return " ".join(element.text_content().split())


def _drop(element: HtmlElement) -> None:
    if element.getparent() is not None:
        element.drop_tree()


def _unfold_tabs(body: HtmlElement) -> None:
    """Show every tab's panel, under the label that stood on its tab."""
    by_role: dict[str, list[HtmlElement]] = {"tab": [], "tabpanel": [], "tablist": []}
    found = _WITH_ROLES(body)
    for element in found:
        by_role[element.get("role")].append(element)
    identities = {panel.get("id"): panel for panel in by_role["tabpanel"] if panel.get("id")}
    tabs = {tab.get("id"): tab for tab in by_role["tab"] if tab.get("id")}
    labels = {
        panel: _text(tabs[panel.get("aria-labelledby")])
        for panel in by_role["tabpanel"]
        if panel.get("aria-labelledby") in tabs
    }
    for tab in by_role["tab"]:
        panel = identities.get(tab.get("aria-controls"))
        if panel is not None:
            labels[panel] = _text(tab)
    for listing, panels in _in_order(found):
        names_of_tabs = [_text(tab) for tab in listing.iter() if tab.get("role") == "tab"]
        if len(names_of_tabs) == len(panels) and not any(panel in labels for panel in panels):
            labels |= dict(zip(panels, names_of_tabs, strict=True))
    for panel in by_role["tabpanel"]:
        _show(panel)
        if panel in labels and _says_which(labels[panel]):
            _head(panel, labels[panel])
    for listing in by_role["tablist"]:
        _drop(listing)


def _in_order(found: list[HtmlElement]) -> Iterator[tuple[HtmlElement, list[HtmlElement]]]:
    """Return each list of tabs with the panels that stand beside each other after it, which no other list has."""
    following: HtmlElement | None = None
    taken: set[HtmlElement] = set()
    for element in reversed(found):
        if element.get("role") == "tabpanel":
            following = element
        elif element.get("role") == "tablist" and following is not None:
            around = following.getparent()
            if around is not None and around not in taken:
                taken.add(around)
                yield element, [panel for panel in around if panel.get("role") == "tabpanel"]


def _unfold_choices(body: HtmlElement) -> None:
    """Put the label of each radio button on the panel that it shows, where a set has as many panels as labels."""
    radios: dict[str, list[str]] = defaultdict(list)
    for radio in _RADIOS(body):
        radios[radio.get("name")].append(radio.get("id"))
    if not radios:
        return
    labels = {label.get("for"): label for label in _LABELS(body)}
    for identities in radios.values():
        found = [labels[one] for one in identities if one in labels]
        texts = [_text(label) for label in found]
        if len(identities) < 2 or len(found) < len(identities) or not all(_is_label(text) for text in texts):
            continue
        panels = _panels_of(found)
        if panels is None:
            continue
        for label, text, panel in zip(found, texts, panels, strict=True):
            _show(panel)
            _head(panel, text)
            _drop(label)


def _is_label(text: str) -> bool:
    return len(text) <= _LABEL_MAX and _says_which(text)


def _says_which(text: str) -> bool:
    """Whether a label says more than the dots of a row of pictures do, which are numbered."""
    return len(text) > _DIGITS_MAX or any(character.isalpha() for character in text)


def _panels_of(labels: list[HtmlElement]) -> list[HtmlElement] | None:
    """Return the panels of labels: each right after its own, or all in the box after the labels' box."""
    after = [label.getnext() for label in labels]
    if all(panel is not None and panel.tag in ("div", "section") for panel in after):
        return after
    around = labels[0].getparent()
    box = around.getnext() if around is not None else None
    if around is None or box is None or _first(around, len(labels)) != labels:
        return None
    panels = _first(box, len(labels))
    return panels if all(panel.tag in ("div", "section") for panel in panels) and len(panels) == len(labels) else None


def _first(box: HtmlElement, count: int) -> list[HtmlElement]:
    """Return what is in a box, or one more than that many of it: a box may hold very much."""
    return list(islice(box.iterchildren(), count + 1))


def _unfold_buttons(body: HtmlElement) -> None:
    """Show what a button opens, and keep what stands on the button, unless it is a menu or asks for something."""
    opening = _OPENING(body)
    if not opening:
        return
    identities = {element.get("id"): element for element in reversed(_NAMED(body))}
    apart: dict[HtmlElement, bool] = {body: False}
    readable: dict[HtmlElement, bool] = {}
    looked_at = 0
    for button in opening:
        panel = identities.get(button.get("aria-controls"))
        if panel is None or _is_apart(button, apart) or FURNITURE_NAMES.search(names(button)):
            continue
        if panel not in readable:
            text = "" if looked_at > _LOOKED_AT_MAX or _is_apart(panel, apart) else panel.text_content()
            looked_at += len(text)
            readable[panel] = not text.isspace() and text != "" and _is_to_be_read(panel, len(text))
        if readable[panel]:
            _show(panel)
            if button.tag == "button" and _stands_before(button, panel):
                _become_line(button)


def _is_apart(element: HtmlElement, known: dict[HtmlElement, bool]) -> bool:
    """Whether it stands in what is never amid a page's text."""
    path: list[HtmlElement] = []
    around: HtmlElement | None = element
    answer = False
    while around is not None:
        if around in known:
            answer = known[around]
            break
        path.append(around)
        if (
            around.tag in _APART
            or around.get("role") in _APART_ROLES
            or NEVER_AMID_TEXT.search(around.get("class") or "")
        ):
            answer = True
            break
        around = around.getparent()
    known |= dict.fromkeys(path, answer)
    return answer


def _is_to_be_read(panel: HtmlElement, size: int) -> bool:
    if FURNITURE_NAMES.search(names(panel)) or next(panel.iter(*_ASKING), None) is not None:
        return False
    return sum(len(link.text_content()) for link in panel.iter("a")) <= _LINKS * size


def _stands_before(button: HtmlElement, panel: HtmlElement) -> bool:
    """Whether a button is what comes right before its panel: one that shows the rest of something stands elsewhere."""
    element: HtmlElement | None = button
    for _ in range(_STEPS_MAX):
        if element is None:
            return False
        following = element.getnext()
        if following is not None:
            return following is panel or any(one is following for one in islice(panel.iterancestors(), _STEPS_MAX))
        element = element.getparent()
    return False


def _become_line(button: HtmlElement) -> None:
    text = _text(button)
    if next(button.iterancestors(*_HEADS), None) is not None or not _says_something(text):
        return
    tail = button.tail
    button.clear()
    button.tag, button.tail = "p", tail
    etree.SubElement(button, "strong").text = text


def _says_something(text: str) -> bool:
    return len(text) > _BUTTON_LABEL_MAX or text.endswith(_QUESTION_MARKS)


def _keep_heading_buttons(body: HtmlElement) -> None:
    """Keep what stands on a button that is all of a heading: it opens an answer, and is the question."""
    found: dict[HtmlElement, list[HtmlElement]] = defaultdict(list)
    for button in body.iter("button"):
        heading = next(button.iterancestors(*_HEADS), None)
        if heading is not None:
            found[heading].append(button)
    for heading, buttons in found.items():
        if _letters(heading) > sum(map(_letters, buttons)):
            continue
        for button in buttons:
            if _says_something(_text(button)) or (button.get("aria-controls") and len(buttons) == 1):
                button.drop_tag()


def _letters(element: HtmlElement) -> int:
    return len(_NO_LETTERS.sub("", element.text_content()))
