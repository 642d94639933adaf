"""The server as operators ask it: REST, one call after the other, with an operator's token."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from imd.config.secret import read_secret
from imd.ctl.exits import CHECK_FAILED, TARGET, USAGE, CommandFailed

#: The server gives its database 10 s.
TIMEOUT_S = 15.0
#: A page of fifty versions, each as long as it may be.
MAX_BYTES = 4 * 1024 * 1024
#: Of im-admin as shipped; `twistd im` has the same on 7780.
DEFAULT_SERVER = "http://127.0.0.1:7795"
#: Where a token lies that was made at a first start: of im-admin, and of `twistd im`.
DEFAULT_TOKEN_FILES = ("im-admin.token", "imd-data/secrets/operator.token")

Environ = Mapping[str, str]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """How the server is reached; the same for every command."""
    command.add_argument(
        "--server",
        default="",
        metavar="URL",
        help=f"of im-admin, or im; else $IMCTL_ADMIN_SERVER or $IMCTL_SERVER; default: {DEFAULT_SERVER}",
    )
    command.add_argument(
        "--token-file",
        default="",
        metavar="FILE",
        help="holds an operator's token; else $IMCTL_TOKEN_FILE, or the token itself in $IMCTL_TOKEN; default: "
        f"{' or '.join(DEFAULT_TOKEN_FILES)}",
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

    def __init__(self, *, url: str, token: str, token_from: str, ca_file: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._token_from = token_from
        self._ca_file = ca_file

    @classmethod
    def of(cls, arguments: argparse.Namespace, environ: Environ) -> Server:
        """:raises CommandFailed: it is not said, or not safely, how to reach it."""
        url = (
            arguments.server
            or environ.get("IMCTL_ADMIN_SERVER")
            or environ.get("IMCTL_SERVER")
            or DEFAULT_SERVER
        )
        url = url if "//" in url else f"http://{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandFailed(USAGE, f"--server: {url!r} is none; expected such as {DEFAULT_SERVER}")
        if parts.scheme == "http" and not arguments.allow_plaintext and not _is_here(parts.hostname):
            raise CommandFailed(
                USAGE,
                f"{url} would have the token sent in the clear: use https, or say --allow-plaintext where nobody "
                "can listen",
            )
        token, token_from = _token(arguments.token_file, environ)
        return cls(url=url, token=token, token_from=token_from, ca_file=arguments.ca_file)

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
                f"{self._url} cannot be asked: {error}; does im-admin (or im) run there? See --server",
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
                TARGET, f"{self._url} answers {status}, and no JSON: it is no im-admin; see --server"
            ) from None
        if status in (200, 201):
            return body
        text = "\n  ".join(map(printable, said))
        if status == 401:
            raise CommandFailed(USAGE, f"the token {self._token_from} is nobody's: {text}")
        if status == 404:
            raise CommandFailed(
                USAGE,
                f"{self._url} has no {text or 'such path'}: is it im-admin (or im), and of this release?",
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


def _token(file: str, environ: Environ) -> tuple[str, str]:
    """The token, and where it is from."""
    if not file and environ.get("IMCTL_TOKEN"):
        return environ["IMCTL_TOKEN"], "in $IMCTL_TOKEN"
    file = file or environ.get("IMCTL_TOKEN_FILE", "")
    if not file:
        file = next((each for each in DEFAULT_TOKEN_FILES if Path(each).exists()), "")
    if not file:
        raise CommandFailed(
            USAGE,
            "no token: name the file that holds yours with --token-file or $IMCTL_TOKEN_FILE; im-admin says at its "
            "start where the first one lies",
        )
    try:
        return read_secret(file), f"in {file}"
    except (OSError, ValueError) as error:
        raise CommandFailed(USAGE, f"--token-file: {error}") from None
