r"""Text that comes from files, as a terminal, a log or a page may show it.

Names of columns, categories, files and classes are data. A control character among them could move the cursor, set the title of
the window or turn the order of letters round; one without a width could make two names look alike. Each is shown as Python writes
it in a string: ``\x1b``, ``\u202e``, ``\udc9b``. The rule is an allow-list, ``str.isprintable``, less the few letters that Unicode
counts as printable and that show nothing.
"""

from __future__ import annotations

from itertools import chain

KEPT = "\n\t"
"""What gives a text of several lines its shape."""

_SHOW_NOTHING = frozenset(
    map(
        chr,
        chain(
            (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
            range(0x180B, 0x1810),
            range(0xFE00, 0xFE10),
            range(0xE0100, 0xE01F0),
        ),
    )
)
"""Letters of Unicode's Default_Ignorable_Code_Point that ``str.isprintable`` lets pass: joiners, fillers, variation selectors."""


def visible(text: str) -> str:
    """A text for one line: every letter that is not printable as its escape, line breaks and tabs among them."""
    if _is_visible(text):
        return text
    return "".join(letter if _is_visible(letter) else _escape(letter) for letter in text)


def visible_lines(text: str) -> str:
    """A text of several lines: likewise, but for line feeds and tabs, which stay."""
    if _is_visible(text.replace("\n", "").replace("\t", "")):
        return text
    return "".join(letter if letter in KEPT or _is_visible(letter) else _escape(letter) for letter in text)


def _is_visible(text: str) -> bool:
    return text.isprintable() and _SHOW_NOTHING.isdisjoint(text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
