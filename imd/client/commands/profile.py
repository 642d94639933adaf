"""Who this terminal is: one file a profile, readable by its owner alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from imd.client.commands.outcome import Usage
from imd.client.rest import Login

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class Profile(NamedTuple):
    """A login as it is kept between two runs. ``server`` is the REST API, ``url`` where messages
    go: "" if the server is to say."""

    name: str
    server: str
    url: str
    login: Login

    def with_login(self, login: Login) -> Profile:
        """The same with a fresh token."""
        return self._replace(login=login)


class Profiles:
    """The folder $XDG_CONFIG_HOME/imc: ``<profile>.json`` and ``<profile>.cursors``, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> Profiles:
        """Where this user's profiles are."""
        base = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return cls(Path(base) / "imc")

    def names(self) -> list[str]:
        """All of them."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def cursors_path(self, name: str) -> Path:
        """Where ``tail`` remembers how far it came."""
        return self._folder / f"{name}.cursors"

    def choose(self, wanted: str) -> str:
        """The profile to use: the one asked for, or the only one there is."""
        if wanted:
            if _NAME.match(wanted) is None:
                raise Usage(f"{wanted!r} is no profile name: use letters, digits, '_', '-' and '.'")
            return wanted
        names = self.names()
        if not names:
            raise Usage("nobody is logged in here: begin with 'imc register NAME' or 'imc login NAME'")
        if len(names) > 1:
            raise Usage(
                f"several people are logged in here ({', '.join(names)}): say --as NAME or set IMC_PROFILE"
            )
        return names[0]

    def find(self, name: str) -> Profile | None:
        """What is kept under this name."""
        try:
            content = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            login: dict[str, Any] = content["login"]
            return Profile(name, content["server"], content["url"], Login(**login))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise Usage(f"the profile {name!r} cannot be read: log in again") from None

    def load(self, name: str) -> Profile:
        """The same, but it has to be there."""
        profile = self.find(name)
        if profile is None:
            raise Usage(f"nobody is logged in as {name!r}: begin with 'imc --as {name} login'")
        return profile

    def save(self, profile: Profile) -> None:
        """Replace the file as a whole."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{profile.name}.json"
        temporary = path.with_suffix(".new")
        content = {"server": profile.server, "url": profile.url, "login": profile.login._asdict()}
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        temporary.replace(path)

    def forget(self, name: str) -> None:
        """Logged out."""
        for path in (self._folder / f"{name}.json", self.cursors_path(name)):
            path.unlink(missing_ok=True)
