"""Envelopes without the protobuf library: reads protocol/ and turns bytes into the JSON mapping and back.

Written from protocol/README.rst alone; nothing of the server is imported. It knows what the
contract uses and no more: no groups, no floats, no nested definitions. Anything else in a message
is skipped, as a client must skip it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PROTOCOL = Path(__file__).resolve().parents[2] / "protocol"

#: A message in the JSON mapping of protobuf.
Json = dict[str, Any]

_COMMENT = re.compile(r"//[^\n]*")
_TOKEN = re.compile(
    r"(?P<block>message|enum|oneof)\s+(?P<name>\w+)\s*\{|(?P<end>\})"
    r"|(?P<repeated>repeated\s+)?(?:map<(?P<key>\w+),\s*(?P<value>[\w.]+)>|(?P<type>[\w.]+))\s+"
    r"(?P<field>\w+)\s*=\s*(?P<number>\d+);"
    r"|(?P<constant>\w+)\s*=\s*(?P<constant_number>\d+);"
)
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_VARINT_TYPES = frozenset({"int32", "int64", "bool"})
MAX_DEPTH = 100


class Broken(Exception):
    """These bytes are not what the contract describes."""


class Field(NamedTuple):
    """One field of a message. ``type`` is a scalar's, a message's or an enum's name."""

    number: int
    name: str
    type: str
    repeated: bool
    in_oneof: bool
    map_value: str


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, index after it)."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Broken("a varint does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7


def varint(value: int) -> bytes:
    """``value`` as a varint; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class Contract:
    """All messages and enums of im.v1."""

    def __init__(self, folder: Path = PROTOCOL) -> None:
        self._messages: dict[str, dict[int, Field]] = {}
        self._enums: dict[str, dict[int, str]] = {}
        for file in sorted((folder / "imd" / "pb").glob("*.proto")):
            text = _COMMENT.sub("", file.read_text(encoding="utf-8"))
            if "package im.v1;" in text:
                self._read(text)

    def _read(self, text: str) -> None:
        blocks: list[tuple[str, str]] = []
        for token in _TOKEN.finditer(text):
            if token["block"]:
                blocks.append((token["block"], token["name"]))
                if token["block"] == "message":
                    self._messages[token["name"]] = {}
                elif token["block"] == "enum":
                    self._enums[token["name"]] = {}
            elif token["end"]:
                blocks.pop()
            elif token["constant"] and blocks and blocks[-1][0] == "enum":
                self._enums[blocks[-1][1]][int(token["constant_number"])] = token["constant"]
            elif token["field"] and blocks:
                kind, name = blocks[-1]
                message = blocks[-2][1] if kind == "oneof" else name
                number = int(token["number"])
                self._messages[message][number] = Field(
                    number,
                    token["field"],
                    token["type"] or "map",
                    bool(token["repeated"]),
                    kind == "oneof",
                    token["value"] or "",
                )

    def encode(self, message: str, value: Json) -> bytes:
        """The bytes of a message in the JSON mapping, fields in the order of their numbers."""
        out = bytearray()
        by_name = {field.name: field for field in self._messages[message].values()}
        for name in sorted(value, key=lambda each: by_name[each].number):
            out += self._encode_field(by_name[name], value[name])
        return bytes(out)

    def _encode_field(self, field: Field, value: Any) -> bytes:
        if field.type == "map":
            out = b""
            for key in sorted(value):
                entry = _delimited(1, key.encode()) + _delimited(2, value[key].encode())
                out += _delimited(field.number, entry)
            return out
        if not field.repeated:
            kept = field.in_oneof or field.type in self._messages
            return self._encode_one(field, value, keep_default=kept)
        if field.type in _VARINT_TYPES:
            packed = b"".join(varint(self._number(field, each)) for each in value)
            return _delimited(field.number, packed) if packed else b""
        return b"".join(self._encode_one(field, each, keep_default=True) for each in value)

    def _encode_one(self, field: Field, value: Any, *, keep_default: bool) -> bytes:
        if field.type in self._messages:
            return _delimited(field.number, self.encode(field.type, value))
        if field.type in {"string", "bytes"}:
            raw = value.encode() if field.type == "string" else base64.b64decode(value)
            return _delimited(field.number, raw) if raw or keep_default else b""
        number = self._number(field, value)
        return varint(field.number << 3) + varint(number) if number or keep_default else b""

    def _number(self, field: Field, value: Any) -> int:
        if field.type in self._enums and isinstance(value, str):
            return next(number for number, name in self._enums[field.type].items() if name == value)
        return int(value)

    def decode(self, message: str, data: bytes) -> Json:
        """The JSON mapping of a message's bytes; what is not in the contract is left out.

        :raises Broken: cut off, not UTF-8, or nested too deeply.
        """
        fields = self._messages[message]
        value: Json = {}
        for number, wire_type, raw in _fields(data):
            field = fields.get(number)
            if field is None:
                continue
            if field.type == "map" and wire_type == _BYTES:
                entry = {each: _text(part) for each, _, part in _fields(bytes(raw))}
                value.setdefault(field.name, {})[entry.get(1, "")] = entry.get(2, "")
            elif field.repeated:
                self._decode_repeated(field, wire_type, raw, value)
            elif wire_type == self._wire_type(field):
                one = self._decode_one(field, raw)
                if field.in_oneof:
                    for other in fields.values():
                        if other.in_oneof:
                            value.pop(other.name, None)
                value[field.name] = one
                if not raw and not field.in_oneof and field.type not in self._messages:
                    del value[field.name]
        return value

    def _decode_repeated(self, field: Field, wire_type: int, raw: Any, value: Json) -> None:
        if wire_type == self._wire_type(field):
            value.setdefault(field.name, []).append(self._decode_one(field, raw))
        elif wire_type == _BYTES and field.type in _VARINT_TYPES:
            at = 0
            while at < len(raw):
                number, at = read_varint(raw, at)
                value.setdefault(field.name, []).append(self._decode_one(field, number))

    def _wire_type(self, field: Field) -> int:
        return _VARINT if field.type in _VARINT_TYPES or field.type in self._enums else _BYTES

    def _decode_one(self, field: Field, raw: Any) -> Any:
        if field.type in self._messages:
            return self.decode(field.type, raw)
        if field.type == "string":
            return _text(raw)
        if field.type == "bytes":
            return base64.b64encode(raw).decode()
        if field.type == "bool":
            return bool(raw)
        if field.type == "int64":
            return str(_signed(raw, 64))
        number = _signed(raw, 32)
        if field.type in self._enums:
            name: str | int = self._enums[field.type].get(number, number)
            return name if number else 0
        return number


def _delimited(number: int, raw: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(raw)) + raw


def _text(raw: Any) -> str:
    try:
        return bytes(raw).decode()
    except (UnicodeDecodeError, TypeError):
        raise Broken("a string is not UTF-8") from None


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, number or bytes) of each field that is not in a group."""
    at = 0
    depth = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        raw: Any = None
        if number == 0:
            raise Broken("a field has the number 0")
        if wire_type == _VARINT:
            raw, at = read_varint(data, at)
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        elif wire_type == _BYTES:
            length, at = read_varint(data, at)
            raw = data[at : at + length]
            at += length
        elif wire_type == _GROUP:
            depth += 1
        elif wire_type == _GROUP_END and depth:
            depth -= 1
        else:
            raise Broken(f"wire type {wire_type} has no meaning here")
        if at > len(data) or depth > MAX_DEPTH:
            raise Broken("a field is cut off, or nested too deeply")
        if not depth and wire_type in (_VARINT, _BYTES):
            yield number, wire_type, raw
    if depth:
        raise Broken("a group does not end")
