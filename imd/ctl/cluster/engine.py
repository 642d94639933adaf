"""What the servers have in common: a folder, a port and passwords that stay, one process."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any, ClassVar

from imd.ctl.cluster.process import EngineError, Process

HOST = "127.0.0.1"
#: Below the ports that the kernel gives to outgoing connections: one of those may sit on the port of a
#: server that is down, be it the very client that tries to reach it (TCP connects to itself then).
PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS = 100
#: A cluster takes a dozen before any of them is listened on.
_given: set[int] = set()


class Engine(ABC):
    """One server on 127.0.0.1; all methods block until it is so.

    :param folder: for its data, its log and its passwords; what is there already is used again.
    :param port: 0 takes a free one. It stays the same from then on, through restarts.
    :param outlives: it goes on when this program ends; otherwise it dies with it.
    """

    #: Short name, and how to get the program.
    name: ClassVar[str]
    install: ClassVar[str]

    def __init__(self, *, folder: Path, port: int = 0, outlives: bool = False) -> None:
        self.folder = folder.resolve()
        self.host = HOST
        self._outlives = outlives
        self._state_file = self.folder / f"{self.name}.json"
        self._state: dict[str, Any] = {}
        if self._state_file.exists():
            self._state = json.loads(self._state_file.read_text())
        self.port = self._port("port", port)
        self._process = self._new_process(self.name)

    def _new_process(self, name: str) -> Process:
        return Process(name=name, folder=self.folder, outlives=self._outlives)

    def _port(self, key: str, wanted: int = 0) -> int:
        port = wanted or self._state.get(key) or free_port()
        self._state[key] = port
        return int(port)

    def _secret(self, key: str) -> str:
        """A generated password; letters and digits, so that it needs no quoting anywhere."""
        return str(self._state.setdefault(key, secrets.token_hex(16)))

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process is there (it may be paused)."""
        return self._process.running

    @property
    def processes(self) -> list[Process]:
        """All its processes, for whoever shows them."""
        return [self._process]

    def start(self) -> None:
        """Start, and return when it answers a client.

        :raises EngineError: with what to install, or the end of its log.
        """
        if self.running:
            raise EngineError(f"{self.name} runs already, in {self.folder}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._save()
        try:
            self._start()
        except EngineError:
            self.kill()
            raise

    def stop(self) -> None:
        """Let it end in order; kill it if it does not."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.stop()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        for process in self.processes:
            process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        for process in self.processes:
            process.pause()

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        for process in self.processes:
            process.resume()

    def wipe(self) -> None:
        """Delete its data; port and passwords stay.

        :raises EngineError: it runs.
        """
        if self.running:
            raise EngineError(f"{self.name} runs; stop it before its data is deleted")
        for each in self._data():
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of each of the ``processes``."""
        return [self.address]

    def missing(self) -> str:
        """What it lacks to serve; empty: nothing."""
        if not all(process.running for process in self.processes):
            return "does not run"
        return "" if self.answers() else "no answer"

    def answers(self) -> bool:
        """Whether a client is served."""
        with suppress(OSError):
            return self._answers()
        return False

    @property
    @abstractmethod
    def program(self) -> str:
        """The path of the server.

        :raises MissingProgram: it is not installed.
        """

    @abstractmethod
    def _answers(self) -> bool:
        """``answers``; OSError means no, too."""

    @abstractmethod
    def _start(self) -> None:
        """Start the process and wait for it; the folder is there."""

    @abstractmethod
    def _data(self) -> list[Path]:
        """What ``wipe`` deletes."""

    def _save(self) -> None:
        write_secret(self._state_file, json.dumps(self._state))

    def _program(self, *names: str, beside: Path | None = None) -> str:
        """The path of the first of these programs: in ``beside``, with this Python, or on the PATH.

        :raises EngineError: none is installed.
        """
        sbin = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
        places = [str(beside)] if beside is not None else []
        places += [str(Path(sys.executable).parent), sbin]
        for name in names:
            for place in places:
                found = shutil.which(name, path=place)
                if found:
                    return found
        raise MissingProgram(f"{names[0]} is not installed; {self.install}")


class MissingProgram(EngineError):
    """The server's program is not on this machine."""


def free_port() -> int:
    """A loopback port that nobody listens on, and that this process was not given before."""
    chance = SystemRandom()
    for _ in range(_PORT_ATTEMPTS):
        port = chance.choice(PORTS)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise EngineError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


def write_secret(file: Path, text: str) -> None:
    """Write a file that only this user may read; at no time is half of it there."""
    half = file.with_name(file.name + ".new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    half.replace(file)
