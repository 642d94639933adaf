"""Asks the server: one REST call with the operators' token."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from imd.config.secret import read_secret
from imd.ctl.exits import SOURCE, USAGE, CommandFailed

#: The server waits 2 s for each of core's nodes, all at once, and a little for its database.
TIMEOUT_S = 15.0
#: Of an answer: some hundred steps; more is no answer of ours.
MAX_BYTES = 4 * 1024 * 1024


class Step(Struct):
    """As REST tells it."""

    at: int
    where: str
    what: str
    text: str


class Story(Struct):
    """As REST tells it, so far as it is printed."""

    got: str
    reason: str
    verdict: str
    advice: str
    steps: list[Step]
    gaps: list[str]


class _Error(Struct):
    message: str


class _Refusal(Struct):
    error: _Error


def ask(*, server: str, token_file: Path, ca_file: str, message: str, user: str) -> tuple[Story, bytes]:
    """The story, and the JSON that it came as.

    :raises CommandFailed: USAGE: the server says that the question is wrong; SOURCE: there is no answer.
    """
    token = _token(token_file)
    url = urlsplit(server if "//" in server else f"http://{server}")
    connection = _connection(url.scheme, url.netloc, ca_file)
    path = f"{url.path.rstrip('/')}/api/v1/operator/explain?{urlencode({'message': message, 'user': user})}"
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        body = reply.read(MAX_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandFailed(
            SOURCE, f"{server} cannot be asked: {error}; is im-business (or im) running there? See --server"
        ) from None
    finally:
        connection.close()
    if reply.status != 200:
        raise _refused(reply.status, body, server, token_file)
    try:
        return msgspec.json.decode(body, type=Story), body
    except msgspec.MsgspecError:
        raise CommandFailed(
            SOURCE, f"{server} does not answer as im-business or im does: it is no imd"
        ) from None


def _token(token_file: Path) -> str:
    try:
        return read_secret(str(token_file))
    except (OSError, ValueError) as error:
        raise CommandFailed(
            USAGE,
            f"the operators' token cannot be read from {token_file}: {error}; see --token-file",
        ) from None


def _connection(scheme: str, address: str, ca_file: str) -> http.client.HTTPConnection:
    try:
        if scheme == "http":
            return http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        if scheme == "https":
            context = ssl.create_default_context(cafile=ca_file or None)
            return http.client.HTTPSConnection(address, timeout=TIMEOUT_S, context=context)
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(USAGE, f"--server or --ca-file cannot be used: {error}") from None
    raise CommandFailed(USAGE, f"--server must be http://HOST:PORT or https://HOST:PORT, not {scheme}://")


def _refused(status: int, body: bytes, server: str, token_file: Path) -> CommandFailed:
    try:
        said = msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.MsgspecError:
        return CommandFailed(
            SOURCE, f"{server} answers {status}, and not as imd does: it is no imd, or behind a proxy"
        )
    if status == 401:
        return CommandFailed(USAGE, f"{server} does not take the token in {token_file}: {said}")
    return CommandFailed(USAGE if 400 <= status < 500 else SOURCE, said)
