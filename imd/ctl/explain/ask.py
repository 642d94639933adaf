"""Asks the server: one REST call with the operators' token."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from imd.config.secret import read_secret
from imd.ctl.exits import SOURCE, USAGE, CommandFailed

#: The server waits 2 s for each of core's nodes, all at once, and a little for its database.
TIMEOUT_S = 15.0
#: Of an answer: some hundred steps; more is no answer of ours.
MAX_BYTES = 4 * 1024 * 1024


def ask(*, server: str, token_file: Path, ca_file: str, message: str, user: str) -> dict[str, Any]:
    """The story, as REST tells it.

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
    return _story(reply.status, body, server, token_file)


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


def _story(status: int, body: bytes, server: str, token_file: Path) -> dict[str, Any]:
    try:
        story: dict[str, Any] = json.loads(body)
        said = story.get("error", {}).get("message", "")
    except (ValueError, AttributeError):
        raise CommandFailed(SOURCE, f"{server} answers {status}, and no JSON: it is no imd") from None
    if status == 200:
        return story
    if status == 401:
        raise CommandFailed(USAGE, f"{server} does not take the token in {token_file}: {said}")
    code = USAGE if 400 <= status < 500 else SOURCE
    raise CommandFailed(code, said or f"{server} answers {status}")
