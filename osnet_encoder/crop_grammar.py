"""Read the text of a crop string: the small part of Python's and JSON's grammar in which one is written.

`crops.decode_crop` recognises the usual spelling with one regular expression and comes here for everything
else: other key orders, other keys, NumPy's scalars, stray blanks, and every text that is broken. What is
accepted here means the same to `ast.literal_eval` or to `json.loads`; what both refuse is refused.
"""

import re

from .errors import CropError

__all__ = ["parse_crop_string"]

KEYS = ("width", "height", "colors", "image")

# Bounds for texts that only look like crop strings: detections carry a few more keys, never thousands.
MAX_TOKENS = 10_000
MAX_DEPTH = 16

_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_ESCAPE = r"""\\(?:[\\'"nrtbf/]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})"""
_TOKEN = re.compile(
    rf"""[ \t\r\n]*(?:
      (?P<string>'(?:[^'\\\n\r\0]|{_ESCAPE})*+' | "(?:[^"\\\n\r\0]|{_ESCAPE})*+")
    | np\.(?:u?int(?:8|16|32|64)|float(?:16|32|64))\((?P<numpy>{_NUMBER})\)
    | (?P<number>{_NUMBER})
    | (?P<word>True|False|None|true|false|null|NaN|-?Infinity)
    | (?P<mark>[\[\](){{}}:,])
    )""",
    re.VERBOSE,
)
_PYTHON_WORDS = frozenset(("True", "False", "None"))
_PYTHON_STRING = re.compile(r"\\['x]|[\x01-\x1f]")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_CLOSERS = {"[": "]", "(": ")", "{": "}"}
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def parse_crop_string(text):
    """Read the four values of a crop string.

    Parameters
    ----------
    text : str

    Returns
    -------
    values : dict
        `width`, `height` and `colors` as int, or as None where the text holds something else;
        `image` as str, or as None where the text holds something else.

    Raises
    ------
    CropError
        `not_a_dict`, `missing_key` or `repeated_key`.
    """
    parser = _Parser(text)
    values = parser.crop_string()
    absent = [key for key in KEYS if key not in values]
    if absent:
        raise CropError("missing_key", f"no key {', '.join(map(repr, absent))} in the crop string")
    return {key: _integer(values[key]) if key != "image" else _text(values[key]) for key in KEYS}


class _Parser:
    """One pass over one text; `dialects` shrinks to the languages in which all of it so far can be read."""

    def __init__(self, text):
        self.text = text
        self.at = 0
        self.before = 0  # where the latest token began, to read it again
        self.tokens = 0
        self.dialects = {"python", "json"}

    def crop_string(self):
        self.at = len(self.text) - len(self.text.lstrip(" \t"))
        values = {}
        self._expect("{")
        for key in self._items("}", depth=1):
            if key in values:
                raise CropError("repeated_key", f"key {key[:40]!r} stands twice in the crop string")
            values[key] = self._value(depth=1)
        if self.text[self.at :].strip(" \t\r\n"):
            raise self._not_a_dict("text after the closing brace")
        return values

    def _items(self, closer, depth):
        """Step through the places of a bracket; in a dict, read each key and yield it (elsewhere None)."""
        kind, token = self._next()
        count = 0
        while (kind, token) != ("mark", closer):
            if closer == "}":
                if kind != "string":
                    raise self._not_a_dict("a key that is not text")
                self._expect(":")
                yield _unescape(token[1:-1])
            else:
                self._put_back()
                yield None
            count += 1
            kind, token = self._next()
            if (kind, token) == ("mark", ","):
                kind, token = self._next()
                if (kind, token) == ("mark", closer):
                    self._only("python")  # a comma before the closing bracket
            elif closer == ")" and count == 1:
                raise self._not_a_dict("a value in parentheses")
            elif (kind, token) != ("mark", closer):
                raise self._not_a_dict("a comma is missing")

    def _value(self, depth):
        kind, token = self._next()
        if kind != "mark":
            return kind, token
        if token not in _CLOSERS:
            raise self._not_a_dict("brackets that do not match")
        if depth > MAX_DEPTH:
            raise self._not_a_dict("nested too deep")
        if token == "(":
            self._only("python")
        for _ in self._items(_CLOSERS[token], depth + 1):
            self._value(depth + 1)
        return "nested", None

    def _next(self):
        match = _TOKEN.match(self.text, self.at)
        self.tokens += 1
        if match is None:
            raise self._not_a_dict("neither Python nor JSON")
        if self.tokens > MAX_TOKENS:
            raise self._not_a_dict("too many values")
        kind = match.lastgroup or ""
        token = match[kind]
        self.before, self.at = self.at, match.end()
        if kind == "string":
            if token[0] == "'" or _PYTHON_STRING.search(token):
                self._only("python")
            if r"\/" in token:
                self._only("json")
        elif kind == "word":
            self._only("python" if token in _PYTHON_WORDS else "json")
        elif kind == "numpy":
            self._only("python")
        return kind, token

    def _put_back(self):
        self.at = self.before

    def _expect(self, mark):
        if self._next() != ("mark", mark):
            raise self._not_a_dict(f"{mark!r} is missing")

    def _only(self, dialect):
        self.dialects &= {dialect}
        if not self.dialects:
            raise self._not_a_dict("half Python, half JSON")

    def _not_a_dict(self, what):
        return CropError("not_a_dict", f"{what} near character {self.at}: {self.text[self.at : self.at + 40]!r}")


def _integer(value):
    kind, token = value
    return int(token[:20]) if kind in ("number", "numpy") and _INTEGER.match(token) else None


def _text(value):
    kind, token = value
    return _unescape(token[1:-1]) if kind == "string" else None


def _unescape(text):
    if "\\" not in text:
        return text
    return re.sub(_ESCAPE, _escaped, text)


def _escaped(match):
    code = match[0][1:]
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code, code)
