"""HTML as a tree: text is always escaped by the serialiser, never joined by hand."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sickbay.engine.report.plain_text import plain

__all__ = ["add", "lines", "page"]


def add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    """A new child. `class_` is "class", `view_box` becomes `viewBox`, others get dashes."""
    named = {_name(key): value for key, value in attributes.items()}
    child = ET.SubElement(parent, tag, named)
    if text:
        child.text = text
    return child


def _name(key: str) -> str:
    return {"class_": "class", "view_box": "viewBox"}.get(key, key.replace("_", "-"))


def page(root: ET.Element) -> str:
    """The document."""
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def lines(text: str, count_max: int = 60) -> str:
    """Text of several lines with each line made plain: for tracebacks."""
    return "\n".join(
        " " * (len(line) - len(line.lstrip(" "))) + plain(line, 200) for line in text.splitlines()[-count_max:]
    )
