"""The HTTP client below: persistent connections, TLS checked, no redirects, and no way into a cloud's insides."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from imd.config.hook_url import wrong_hook_address
from imd.hooks.post import PostFailed

CONNECT_TIMEOUT_S = 5.0
#: Servers close idle connections after a minute or so; a connection that is closed under a request fails it.
_IDLE_S = 30.0


def hook_agent(reactor: Any, *, connections: int, allow_link_local: bool) -> IAgent:
    """An agent for one hook.

    :param connections: kept open at most.
    """
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = connections
    pool.cachedConnectionTimeout = _IDLE_S  # type: ignore[assignment]
    factory = _Endpoints(reactor, allow_link_local=allow_link_local)
    agent: IAgent = Agent.usingEndpointFactory(reactor, factory, pool)
    return agent


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, reactor: Any, *, allow_link_local: bool) -> None:
        self._reactor = reactor
        self._allow_link_local = allow_link_local
        self._tls = BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, host, uri.port, timeout=CONNECT_TIMEOUT_S
        )
        if not self._allow_link_local:
            endpoint = GuardedEndpoint(endpoint)
        if uri.scheme == b"https":
            return wrapClientTLS(self._tls.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
class GuardedEndpoint:
    """Looks whom it has reached before anything is said: a name may lead anywhere, and somewhere else each time."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        return self._endpoint.connect(_Guarded(protocolFactory))


@implementer(IProtocolFactory)
class _Guarded:
    """Refuses to make a protocol for a peer that must not be spoken to."""

    noisy = False

    def __init__(self, inner: IProtocolFactory) -> None:
        self._inner = inner

    def buildProtocol(self, addr: Any) -> IProtocol | None:
        refused = wrong_hook_address(str(getattr(addr, "host", "")))
        if refused:
            raise PostFailed(refused)
        return self._inner.buildProtocol(addr)

    def doStart(self) -> None:
        self._inner.doStart()

    def doStop(self) -> None:
        self._inner.doStop()
