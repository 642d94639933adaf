"""Use case: the end of an account, by its user."""

from __future__ import annotations

from imd.bus.audit import DONE, MEDIUM, AuditEntry
from imd.business.accounts.device_bans import DeviceBans
from imd.business.accounts.model import PASSWORD_MAX_LENGTH, Caller
from imd.business.accounts.passwords import Passwords
from imd.business.accounts.ports import Accounts, AccountStates, StateChange
from imd.business.accounts.tell import TellState
from imd.business.audit.ports import Audit
from imd.business.groups.model import GROUP
from imd.business.groups.people import GroupPeople
from imd.business.groups.ports import Memberships
from imd.business.relations.ports import Friends
from imd.kernel.attempts import Attempts, address_key
from imd.kernel.clocks import WallClock
from imd.kernel.errors import AuthFailed, Forbidden, OutcomeUnknown, PayloadInvalid, ServerBusy

#: Groups to transfer that are named in one refusal.
_NAMED_GROUPS = 10
_PAGE = 500
#: Friendships ended in one transaction, 10 ms each: whoever else wants the same people's rows waits so long.
_FRIENDS_AT_ONCE = 50
#: Whoever is brought into a group again while they leave is asked to try once more.
_ROUNDS = 3


class CloseAccount:
    """First the groups, each by its own change with its notice, then the friends, then the account itself.

    Whatever stops it in between, the account is still there, and the same request goes on where it was.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        states: AccountStates,
        passwords: Passwords,
        attempts: Attempts,
        bans: DeviceBans,
        memberships: Memberships,
        group_people: GroupPeople,
        friends: Friends,
        tell: TellState,
        audit: Audit,
        wall_clock: WallClock,
    ) -> None:
        self._accounts = accounts
        self._states = states
        self._passwords = passwords
        self._attempts = attempts
        self._bans = bans
        self._memberships = memberships
        self._group_people = group_people
        self._friends = friends
        self._tell = tell
        self._audit = audit
        self._wall_clock = wall_clock

    async def __call__(self, caller: Caller, *, password: str, address: str) -> None:
        """Forbidden, naming groups that somebody else has to own first."""
        verified_hash = await self._verified(caller, password, address)
        user_id = caller.user_id
        owned = await self._states.owned(user_id, limit=_NAMED_GROUPS)
        if owned:
            raise Forbidden(
                f"transfer or dissolve the groups that you own first: {', '.join(owned)}", reason="owner"
            )
        for _ in range(_ROUNDS):
            await self._leave_groups(user_id)
            while await self._friends.part_all(user_id, self._wall_clock(), limit=_FRIENDS_AT_ONCE):
                pass
            change = await self._delete(user_id, verified_hash)
            if change is not None:
                await self._tell(change, "deleted")
                entry = AuditEntry("account.delete", DONE, actor_id=user_id, subject_id=user_id, level=MEDIUM)
                self._audit.record(entry)
                return
        raise ServerBusy("you were brought into a group meanwhile; try again", retry_after_ms=1000)

    async def _verified(self, caller: Caller, password: str, address: str) -> str:
        stored = await self._accounts.by_id(caller.user_id)
        if stored is None:
            raise AuthFailed("this login has ended; log in again")
        # The same budget as for logins: a stolen token must not buy more guesses.
        key = f"{stored.account.handle} {address_key(address)}"
        self._attempts.check(key)
        wrong = len(password) > PASSWORD_MAX_LENGTH
        if wrong or not await self._passwords.matches(stored.password_hash, password):
            await self._bans.failed(caller.device_id, address, user_id=caller.user_id)
            raise PayloadInvalid("password is wrong", field="password")
        self._attempts.forget(key)
        return stored.password_hash

    async def _leave_groups(self, user_id: int) -> None:
        after = ""
        while True:
            page = await self._memberships.conversations_of(user_id, after=after, limit=_PAGE)
            for conversation in page:
                if conversation.kind == GROUP:
                    await self._group_people.leave(user_id, conversation.conversation_id)
            if len(page) < _PAGE:
                return
            after = page[-1].conversation_id

    async def _delete(self, user_id: int, verified_hash: str) -> StateChange | None:
        try:
            return await self._states.delete(user_id, verified_hash=verified_hash, now_ms=self._wall_clock())
        except OutcomeUnknown:
            await self._tell.in_doubt(user_id, "deleted")
            raise
