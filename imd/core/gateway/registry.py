"""Who is connected to this node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from imd.core.gateway.limits import Address, GrayRates, Rates, RatesInForce, UserRates
from imd.core.gateway.session import Session, User
from imd.kernel.clocks import Clock
from imd.kernel.eviction import forget_oldest

#: Logins of which it is remembered that they ended, 150 bytes each: those of a minute at 300 a second.
MAX_REVOKED_LOGINS = 20_000


class Registry:
    """All connections: those that have said who they are, by user, and the strangers."""

    def __init__(self, *, rates: Rates, clock: Clock) -> None:
        self._in_force = RatesInForce(rates)
        self._clock = clock
        self._users: dict[int, User] = {}
        self._addresses: dict[str, Address] = {}
        self._sessions: dict[Session, None] = {}
        self._strangers: dict[Session, None] = {}
        self._resting: dict[int, UserRates] = {}
        #: How many revocations this node has heard of; a login that was being checked is checked again.
        self.revocations = 0
        #: A business node that has not heard of it yet may still say that they are good.
        self._revoked_logins: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions))

    @property
    def strangers(self) -> Sequence[Session]:
        """Connections that have not said who they are, oldest first."""
        return list(self._strangers)

    @property
    def stranger_count(self) -> int:
        return len(self._strangers)

    def address(self, name: str) -> Address:
        """What all connections of an address share."""
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = Address(self._in_force.rates, self._clock.seconds())
        return address

    def opened(self, session: Session) -> None:
        """A connection was accepted."""
        self._sessions[session] = None
        self._strangers[session] = None
        session.from_address.connections += 1

    def closed(self, session: Session) -> bool:
        """A connection is gone; whether it had been a known user's."""
        if session not in self._sessions:
            return False
        del self._sessions[session]
        self._strangers.pop(session, None)
        session.from_address.connections -= 1
        return self.forget(session)

    def find(self, user_id: int, device_id: str) -> Session | None:
        """The live session of a device."""
        user = self._users.get(user_id)
        return user.devices.get(device_id) if user is not None else None

    def enroll(self, session: Session) -> None:
        """The connection is this user's from now on; its device has no other session."""
        user = self._users.get(session.user_id)
        if user is None:
            rates = self._resting.pop(session.user_id, None)
            user = User(rates or UserRates(self._rates_of_newcomer(session), self._clock.seconds()))
            self._users[session.user_id] = user
        user.devices[session.device_id] = session
        session.user = user
        self._resolve(session.user_id, user)
        self._strangers.pop(session, None)

    def forget(self, session: Session) -> bool:
        """The opposite of ``enroll``; False if it was not enrolled."""
        user = session.user
        if user is None:
            return False
        session.user = None
        if user.devices.get(session.device_id) is session:
            del user.devices[session.device_id]
        if user.devices:
            self._resolve(session.user_id, user)
        else:
            self._users.pop(session.user_id, None)
            if not user.rates.full(self._clock.seconds()):
                # Coming back must not refill the buckets.
                self._resting[session.user_id] = user.rates
        return True

    def note_revoked(self, login_ids: Iterable[str]) -> None:
        """These logins have ended for ever."""
        self.revocations += 1
        self._revoked_logins.update(dict.fromkeys(login_ids))
        forget_oldest(self._revoked_logins, MAX_REVOKED_LOGINS)

    def is_revoked(self, login_id: str) -> bool:
        """Whether this login ended, as far as is remembered."""
        return login_id in self._revoked_logins

    def of_user(self, user_id: int) -> Sequence[Session]:
        """The live sessions of a user."""
        user = self._users.get(user_id)
        return list(user.devices.values()) if user is not None else ()

    def rates_of(self, user_id: int) -> UserRates | None:
        """What a user who is here may send."""
        user = self._users.get(user_id)
        return user.rates if user is not None else None

    def gray_user_count(self) -> int:
        """How many users here have other rates now, by a gray release."""
        gray = self._in_force.gray
        return 0 if gray is None else sum(user.rates.rates is gray.rates for user in self._users.values())

    def _rates_of_newcomer(self, session: Session) -> Rates:
        return self._in_force.of(session.user_id, (session.client_version,))

    def _resolve(self, user_id: int, user: User) -> None:
        """By which rates, now that a device came or went."""
        devices = user.devices.values()
        rates = self._in_force.of(user_id, [session.client_version for session in devices])
        if rates is not user.rates.rates:
            user.rates.change(rates, self._clock.seconds())
            for session in devices:
                session.device_bucket = None

    def change_rates(self, rates: Rates, gray: GrayRates | None = None) -> None:
        """From the next frame on these hold, for whoever is here and whoever comes.

        :param gray: what some users have instead.
        """
        if (rates, gray) == (self._in_force.rates, self._in_force.gray):
            # Most changes are about something else.
            return
        self._in_force.rates, self._in_force.gray = rates, gray
        now_s = self._clock.seconds()
        for address in self._addresses.values():
            address.change(rates, now_s)
        for user_id, user in self._users.items():
            versions = [session.client_version for session in user.devices.values()]
            user.rates.change(self._in_force.of(user_id, versions), now_s)
        for user_id, user_rates in self._resting.items():
            # With which client they will come back is seen then.
            user_rates.change(self._in_force.of(user_id, ()), now_s)
        for session in self._sessions:
            # Made anew when it is next needed.
            session.device_bucket = None

    def forget_idle(self) -> None:
        """Drop the rates of addresses and users that are away and whose buckets are full again."""
        now_s = self._clock.seconds()
        for name, address in list(self._addresses.items()):
            if not address.connections and address.full(now_s):
                del self._addresses[name]
        for user_id, rates in list(self._resting.items()):
            if rates.full(now_s):
                del self._resting[user_id]
