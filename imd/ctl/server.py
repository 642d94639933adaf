"""The server as operators ask it: REST, one call after the other, with an operator's token."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from imd.config.secret import read_secret
from imd.ctl.exits import CHECK_FAILED, TARGET, USAGE, CommandFailed

#: The server gives its database 10 s.
TIMEOUT_S = 15.0
#: A page of fifty versions, each as long as it may be.
MAX_BYTES = 4 * 1024 * 1024
#: What a server says of a path that it does not know, beside a thing that it does not have.
NO_SUCH_PATH = "there is nothing at this path"
#: Where `twistd im` makes a token at its first start, and where it listens; whoever has that token means that server.
_TOKEN_OF_IM = "imd-data/secrets/operator.token"
_DEFAULT_OF_IM = "http://127.0.0.1:7780"

Environ = Mapping[str, str]


class Role(NamedTuple):
    """Who is asked; `twistd im` answers for all."""

    name: str
    #: Where it listens as shipped.
    default: str
    #: Of the environment, the first that is set.
    variables: tuple[str, ...]
    #: Where a token lies that was made at a first start.
    token_files: tuple[str, ...]


ADMIN = Role(
    "im-admin",
    "http://127.0.0.1:7795",
    ("IMCTL_ADMIN_SERVER", "IMCTL_SERVER"),
    ("im-admin.token", _TOKEN_OF_IM),
)
BUSINESS = Role(
    "im-business",
    "http://127.0.0.1:7790",
    ("IMCTL_BUSINESS_SERVER", "IMCTL_SERVER"),
    ("im-admin.token", "im-business.token", _TOKEN_OF_IM),
)


def add_arguments(command: argparse.ArgumentParser, role: Role = ADMIN) -> None:
    """How the server is reached; the same for every command."""
    command.add_argument(
        "--server",
        default="",
        metavar="URL",
        help=f"of {role.name}, or im; else ${' or $'.join(role.variables)}; default: {role.default}, of im {_DEFAULT_OF_IM}",
    )
    command.add_argument(
        "--token-file",
        default="",
        metavar="FILE",
        help="holds an operator's token; else $IMCTL_TOKEN_FILE, or the token itself in $IMCTL_TOKEN; default: "
        f"{' or '.join(role.token_files)}",
    )
    command.add_argument(
        "--ca-file", default="", metavar="FILE", help="the authority of its https certificate"
    )
    command.add_argument(
        "--allow-plaintext", action="store_true", help="send the token over http to another machine"
    )
    command.add_argument("--json", action="store_true", help="what REST answers, for programs")


class Server:
    """One of them, spoken to as somebody."""

    def __init__(self, *, url: str, token: str, token_from: str, ca_file: str, role: Role = ADMIN) -> None:
        self._role = role
        self._url = url.rstrip("/")
        self._token = token
        self._token_from = token_from
        self._ca_file = ca_file

    @classmethod
    def of(cls, arguments: argparse.Namespace, environ: Environ, role: Role = ADMIN) -> Server:
        """:raises CommandFailed: it is not said, or not safely, how to reach it."""
        token, token_from, token_file = _token(arguments.token_file, environ, role)
        default = _DEFAULT_OF_IM if token_file == _TOKEN_OF_IM else role.default
        set_there = (environ[name] for name in role.variables if environ.get(name))
        url = arguments.server or next(set_there, default)
        url = url if "//" in url else f"http://{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandFailed(USAGE, f"--server: {url!r} is none; expected such as {role.default}")
        if parts.scheme == "http" and not arguments.allow_plaintext and not _is_here(parts.hostname):
            raise CommandFailed(
                USAGE,
                f"{url} would have the token sent in the clear: use https, or say --allow-plaintext where nobody "
                "can listen",
            )
        return cls(role=role, url=url, token=token, token_from=token_from, ca_file=arguments.ca_file)

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """The answer to a question."""
        return self.call("GET", path + (f"?{urlencode(query)}" if query else ""))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer.

        :raises CommandFailed: USAGE: it says that the request is wrong or not for this operator; CHECK_FAILED:
            somebody else was first; TARGET: there is no answer, or not now.
        """
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(
                method,
                f"{urlsplit(self._url).path}/api/v1{quote(path, safe='/?=&%')}",
                body=None if body is None else json.dumps(body),
                headers=headers,
            )
            reply = connection.getresponse()
            status, answered = reply.status, reply.read(MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(
                TARGET,
                f"{self._url} cannot be asked: {error}; does {self._role.name} (or im) run there? See --server",
            ) from None
        finally:
            connection.close()
        return self._read(status, answered)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        try:
            if parts.scheme == "http":
                return http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
            context = ssl.create_default_context(cafile=self._ca_file or None)
            return http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=context)
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(USAGE, f"--server or --ca-file cannot be used: {error}") from None

    def _read(self, status: int, answered: bytes) -> dict[str, Any]:
        try:
            body: dict[str, Any] = json.loads(answered)
            error = body.get("error", {})
            said = error.get("reasons") or [error.get("message", "")]
        except (ValueError, AttributeError):
            raise CommandFailed(
                TARGET, f"{self._url} answers {status}, and no JSON: it is no {self._role.name}; see --server"
            ) from None
        if status in (200, 201):
            return body
        text = "\n  ".join(map(printable, said))
        if status == 401:
            raise CommandFailed(USAGE, f"the token {self._token_from} is nobody's: {text}")
        if status == 404 and text and text != NO_SUCH_PATH:
            raise CommandFailed(USAGE, text)
        if status == 404:
            raise CommandFailed(
                USAGE, f"{self._url} has no such path: is it {self._role.name} (or im), and of this release?"
            )
        if status == 409:
            raise CommandFailed(CHECK_FAILED, f"nothing is changed: {text}")
        if 400 <= status < 500:
            raise CommandFailed(USAGE, f"nothing is changed:\n  {text}" if len(said) > 1 else text)
        raise CommandFailed(TARGET, f"{text or f'{self._url} answers {status}'}; try again")


def printable(text: object) -> str:
    """What others wrote must not move the cursor of who reads it."""
    return "".join(each if each.isprintable() else "?" for each in str(text))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(file: str, environ: Environ, role: Role) -> tuple[str, str, str]:
    """The token, where it is from in words, and the file."""
    if not file and environ.get("IMCTL_TOKEN"):
        return environ["IMCTL_TOKEN"], "in $IMCTL_TOKEN", ""
    file = file or environ.get("IMCTL_TOKEN_FILE", "")
    if not file:
        file = next((each for each in role.token_files if Path(each).exists()), "")
    if not file:
        raise CommandFailed(
            USAGE,
            "no token: name the file that holds yours with --token-file or $IMCTL_TOKEN_FILE; im-admin says at its "
            "start where the first one lies",
        )
    try:
        return read_secret(file), f"in {file}", file
    except (OSError, ValueError) as error:
        raise CommandFailed(USAGE, f"--token-file: {error}") from None
