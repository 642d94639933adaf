"""Every address on which a role may listen: in the table, in the documentation, and not public by accident."""

from __future__ import annotations

import csv
from pathlib import Path
from secrets import token_hex
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.config.listeners import LISTENERS, listeners_of, value_at
from imd.config.load import examine, keys
from imd.config.reference import ROLES

ROOT = Path(__file__).resolve().parents[2]
#: What a key is called behind which an address to listen on stands.
NAMES = {"tcp", "tls", "http", "https", "listen"}
PUBLIC = "192.0.2.1:7999"


def documented() -> list[dict[str, str]]:
    """The rows of docs/ports.rst."""
    lines = iter((ROOT / "docs" / "ports.rst").read_text(encoding="utf-8").splitlines())
    for line in lines:
        if ".. csv-table:: Listening" in line:
            break
    rows = []
    for line in lines:
        if line.startswith('   "'):
            rows.append(next(csv.reader([line.strip()], skipinitialspace=True)))
        elif rows and line.strip():
            break
    columns = ("role", "key", "default", "protocol", "peers", "tls", "permitted_by")
    return [dict(zip(columns, [cell.strip("`") for cell in row], strict=True)) for row in rows]


class Listeners(SynchronousTestCase):
    """The table of imd.config.listeners."""

    def examined(self, kind: Any, text: str) -> list[str]:
        """Paths with a problem, of a file with such a text."""
        secret = Path(self.mktemp())
        secret.touch(mode=0o600)
        secret.write_text(token_hex(32))
        head = f'token_secret_file = "{secret}"\n' if "token_secret_file" in kind.__struct_fields__ else ""
        file = Path(self.mktemp())
        file.write_text(head + text)
        return [problem.partition(":")[0] for problem in examine(str(file), {}, kind).problems]

    def test_complete(self) -> None:
        """A key with an address to listen on, in whatever role and section, is in the table."""
        found = {
            path
            for kind, _ in ROLES.values()
            for path, _ in keys(kind)
            if path.rpartition(".")[2] in NAMES and isinstance(value_at(kind(), path), str)
        }
        self.assertEqual({listener.path for listener in LISTENERS}, found)

    def test_loopback_by_default(self) -> None:
        """Nothing that a default start opens can be reached by others; no two of them share a port."""
        for kind, _ in ROLES.values():
            opened = [text for _, text in listeners_of(kind())]
            self.assertTrue(all(text.startswith("127.0.0.1:") for text in opened), opened)
        defaults = {
            (listener.path, text) for kind, _ in ROLES.values() for listener, text in listeners_of(kind())
        }
        self.assertGreaterEqual(len(defaults), 4)

    def test_public_is_said(self) -> None:
        """Whatever is not encrypted refuses an address that others can reach, unless its own key permits that."""
        for kind, _ in ROLES.values():
            for listener in LISTENERS:
                if listener.tls or value_at(kind(), listener.path) is None:
                    continue
                section, _, name = listener.path.partition(".")
                text = f'[{section}]\n{name} = "{PUBLIC}"\n'
                self.assertEqual(self.examined(kind, text), [listener.path], kind)
                if listener.permitted_by:
                    permit = listener.permitted_by.partition(".")[2]
                    self.assertEqual(self.examined(kind, f"{text}{permit} = true\n"), [], kind)

    def test_manhole_is_never_public(self) -> None:
        """Whoever is in may do anything: no key permits an address that others can reach."""
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.chmod(0o755)
        keys_file = (folder / "keys").absolute()
        keys_file.touch(0o600)
        for kind, _ in ROLES.values():
            text = f'[manhole]\nlisten = "{PUBLIC}"\nauthorized_keys_file = "{keys_file}"\n'
            self.assertEqual(self.examined(kind, text), ["manhole.listen"], kind)

    def test_all_at_once(self) -> None:
        """Every public listener is told, not only the first."""
        kind = ROLES["im"][0]
        text = f'[listen]\ntcp = "{PUBLIC}"\nhttp = "0.0.0.0:80"\ntls = "0.0.0.0:443"\n'
        self.assertEqual(
            self.examined(kind, text),
            ["listen.tcp", "listen.http", "tls.certificate_file", "tls.private_key_file"],
        )

    def test_documented(self) -> None:
        """docs/ports.rst lists every listener of every role, with its default, and no other."""
        expected = []
        for kind, name in ROLES.values():
            for listener in LISTENERS:
                default = value_at(kind(), listener.path)
                if default is not None:
                    expected.append(
                        {
                            "role": name,
                            "key": listener.path,
                            "default": default or "off",
                            "protocol": listener.protocol,
                            "peers": listener.peers,
                            "tls": "yes" if listener.tls else "no",
                            "permitted_by": listener.permitted_by or "none",
                        }
                    )
        self.assertEqual(documented(), expected)
