"""What a text file's settings may be: encodings Python knows, single characters between cells."""

import codecs


def check_encoding(name: str) -> str:
    """Return the name of an encoding of text; raise ValueError for any other."""
    try:
        known = codecs.lookup(name)._is_text_encoding  # rot13 and zip are codecs too; Python keeps no public mark
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError(f'encoding must be one that Python knows, such as "utf8", "latin-1" or "cp1252"; got {name!r}')
    return name


def check_character(setting: str, value: str) -> str:
    """Return what separates, quotes or escapes cells: one ASCII character; only the separator must not be empty."""
    if value == "" and setting != "separator":
        return value
    if len(value) != 1 or not value.isascii() or value in "\r\n\0" or (setting == "separator" and value == '"'):
        hint = '; a tab is written "\\t"' if setting == "separator" else "; empty for none"
        raise ValueError(f"{setting} must be one ASCII character{hint}; got {value!r}")
    return value
