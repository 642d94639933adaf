"""Which mongod is the primary now, and why none is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from imd.kernel.clocks import Clock
from imd.storage.mongo_link import (
    OLDEST_WIRE_VERSION,
    Host,
    LinkFailed,
    Login,
    MongoLink,
    connect,
)

#: A member that does not say hello within this time is passed over.
PROBE_TIMEOUT_S = 2.0
#: A replica set has at most 50 members.
MAX_HOSTS = 50
#: A primary that is cut off from the majority steps down by itself after 10 s. Later an older election is
#: that of a set that was made anew.
STEPS_DOWN_WITHIN_S = 30.0
_COMMAND_NOT_FOUND = 59

EndpointFor = Callable[[Host], IStreamClientEndpoint]


class MongoTrouble(Exception):
    """Why there is no use in a server, in words for the operator.

    :param lasting: waiting will not help.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


def tcp_endpoints(reactor: Any, *, tls_for: Callable[[str], Any] | None = None) -> EndpointFor:
    """How to reach a member by TCP.

    :param tls_for: from a host's name the options of TLS with it: ``optionsForClientTLS(name, trustRoot=...)``,
        so that each member's certificate is checked against the member's own name.
    """

    def endpoint_for(host: Host) -> IStreamClientEndpoint:
        plain = HostnameEndpoint(reactor, host.name, host.port, timeout=PROBE_TIMEOUT_S)
        return plain if tls_for is None else wrapClientTLS(tls_for(host.name), plain)

    return endpoint_for


class Members:
    """The members of the replica set, as far as they are known, and who of them may be written to."""

    def __init__(
        self, *, hosts: Sequence[str], replica_set: str, endpoint_for: EndpointFor, clock: Clock
    ) -> None:
        self._hosts = [Host.parse(text) for text in hosts]
        if not self._hosts:
            raise ValueError("MongoDB needs at least one host")
        self._replica_set = replica_set
        self._endpoint_for = endpoint_for
        self._clock = clock
        # Of the youngest primary that was met, and when that was.
        self._election: Any = None
        self._met_s = 0.0

    async def find_primary(self) -> Host:
        """The first member that answers and is the primary.

        :raises MongoTrouble: none is; with what each said.
        """
        probes = [Deferred.fromCoroutine(self._probe(host)) for host in self._hosts]
        outcome: Any = await DeferredList(probes, fireOnOneCallback=True, consumeErrors=True)
        if isinstance(outcome, tuple):
            found: Host = outcome[0]
            for probe in probes:
                probe.cancel()
            return found
        errors = [failure.value for _, failure in outcome]
        for error in errors:
            if not isinstance(error, MongoTrouble):
                raise error
        raise MongoTrouble(
            "; ".join(str(error) for error in errors), lasting=any(error.lasting for error in errors)
        )

    async def _probe(self, host: Host) -> Host:
        link, _ = await self.greet(host, login=None)
        link.abort()
        return host

    async def greet(self, host: Host, *, login: Login | None) -> tuple[MongoLink, dict[str, Any]]:
        """A link to the primary, who must be at ``host``, logged in, and what it says of itself.

        :raises MongoTrouble: it is not there, or is not what it should be, or does not let us in.
        """
        try:
            link = await connect(self._endpoint_for(host), timeout_s=PROBE_TIMEOUT_S, clock=self._clock)
            hello = await link.hello(login=login, timeout_s=PROBE_TIMEOUT_S, clock=self._clock)
        except LinkFailed as error:
            raise MongoTrouble(f"MongoDB at {host} cannot be reached: {error}") from None
        try:
            self._check(host, hello)
            if login is not None:
                await self._log_in(link, host, login, hello)
        except BaseException:
            link.abort()
            raise
        return link, hello

    async def _log_in(self, link: MongoLink, host: Host, login: Login, hello: dict[str, Any]) -> None:
        mechanisms = hello.get("saslSupportedMechs")
        if mechanisms and "SCRAM-SHA-1" not in mechanisms:
            raise MongoTrouble(
                f"the MongoDB user {login.user!r} has {' and '.join(mechanisms)} only, and SCRAM-SHA-1 is needed;"
                f" in mongosh: use {login.database}; db.updateUser({login.user!r},"
                " {pwd: passwordPrompt(), mechanisms: ['SCRAM-SHA-1', 'SCRAM-SHA-256']})",
                lasting=True,
            )
        try:
            welcome = await link.log_in(login, timeout_s=PROBE_TIMEOUT_S, clock=self._clock)
        except LinkFailed as error:
            raise MongoTrouble(f"MongoDB at {host}: {error}") from None
        if not welcome:
            raise MongoTrouble(
                f"MongoDB at {host} refuses user {login.user!r} of database {login.database!r}:"
                " wrong name or password",
                lasting=True,
            )

    def _check(self, host: Host, hello: dict[str, Any]) -> None:
        if hello.get("code") == _COMMAND_NOT_FOUND or hello.get("maxWireVersion", 0) < OLDEST_WIRE_VERSION:
            raise MongoTrouble(f"MongoDB at {host} is older than 5.0: upgrade it", lasting=True)
        if not hello.get("ok"):
            raise MongoTrouble(f"MongoDB at {host} says: {hello.get('errmsg')}")
        self._check_replica_set(host, hello)
        for name in hello.get("hosts") or ():
            self._learn(str(name))
        if not hello.get("isWritablePrimary"):
            raise MongoTrouble(f"MongoDB at {host} is not the primary")
        self._check_election(host, hello.get("electionId"))

    def _check_election(self, host: Host, election: Any) -> None:
        """One that was elected before another that was met has been replaced, and does not know it yet."""
        now_s = self._clock.seconds()
        known = self._election if now_s - self._met_s < STEPS_DOWN_WITHIN_S else None
        if known is not None and (election is None or election < known):
            raise MongoTrouble(f"MongoDB at {host} has been replaced as primary")
        self._election = election
        self._met_s = now_s

    def _check_replica_set(self, host: Host, hello: dict[str, Any]) -> None:
        wanted, found = self._replica_set, hello.get("setName")
        if wanted == (found or ""):
            return
        if not wanted:
            wrong = f"belongs to replica set {found!r}: say so in [mongo] replica_set"
        elif found:
            wrong = f"belongs to replica set {found!r}, not {wanted!r}: correct [mongo] replica_set or hosts"
        elif hello.get("isreplicaset"):
            wrong = "is not yet initiated as a replica set: run rs.initiate() in mongosh"
        elif hello.get("msg") == "isdbgrid":
            wrong = 'is a mongos of a sharded cluster: set [mongo] replica_set to ""'
        else:
            wrong = (
                f"is not a replica set, so a majority cannot confirm anything: start mongod with"
                f" --replSet {wanted} and run rs.initiate() in mongosh"
            )
        raise MongoTrouble(f"MongoDB at {host} {wrong}", lasting=True)

    def _learn(self, name: str) -> None:
        try:
            host = Host.parse(name)
        except ValueError:
            return
        if host not in self._hosts and len(self._hosts) < MAX_HOSTS:
            self._hosts.append(host)
