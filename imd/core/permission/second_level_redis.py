"""Snapshots that all nodes share, in Redis: the newest version wins, by a script, whoever comes last."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.core.directory import Membership
from imd.core.permission.codec import decode_membership, encode_membership
from imd.core.permission.second_level import CLOSED_S, OUTDATED_S, Kept
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import MembersAnswer
from imd.storage.redis import RedisStore, Script

#: A larger one costs Redis, which does one thing at a time, more than business: it is asked there.
MAX_BYTES = 256 * 1024
#: Writes under way; what is above is not written, and costs a question to business, or is outdated by its age.
MAX_WRITES = 500

#: A version before a snapshot, so wide that versions compare as strings: numbers of Lua are too narrow.
_WIDTH = 20
#: Newer than all.
_CLOSED = "9" * _WIDTH

# Nothing is put over something newer, and what is outdated is only put over something older.
_PUT = Script("""
local held = redis.call('GETRANGE', KEYS[1], 0, 19)
if held <= ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
end
return 0
""")
_OUTDATE = Script("""
local held = redis.call('GETRANGE', KEYS[1], 0, 19)
if held < ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 0
""")
_GET = Script("""
local held = redis.call('GET', KEYS[1])
if not held or #held <= 20 then
    return false
end
return {string.sub(held, 21), redis.call('PTTL', KEYS[1])}
""")


class RedisSecondLevel:
    """``SecondLevel`` of all nodes that share a Redis, and a stage."""

    _logger = Logger()

    def __init__(self, *, redis: RedisStore, prefix: str = "core:") -> None:
        self._redis = redis
        self._tasks = Tasks()
        self._prefix = f"{prefix}rules:"
        self._writes = 0

    async def start(self) -> None:
        """Redis itself is a stage before this one."""

    async def stop(self) -> None:
        """Nobody waits for what is being written."""
        await self._tasks.stop()

    async def get(self, conversation_id: str) -> Kept | None:
        try:
            held = await self._redis.run(_GET, [self._prefix + conversation_id], [])
        except ServerBusy:
            return None
        if not isinstance(held, list):
            return None
        try:
            membership = decode_membership(conversation_id, MembersAnswer.FromString(held[0]))
        except (DecodeError, ValueError):
            self._logger.error("what Redis keeps of {id} cannot be read", id=conversation_id)
            return None
        return Kept(membership, held[1] / 1000)

    def put(self, membership: Membership, life_s: float) -> None:
        entry = encode_membership(membership).SerializeToString()
        if len(entry) <= MAX_BYTES:
            version = f"{membership.version:0{_WIDTH}d}"
            self._write(_PUT, membership.conversation_id, version, entry, round(life_s * 1000))

    def outdate(self, conversation_id: str, version: int) -> None:
        if version:
            self._write(_OUTDATE, conversation_id, f"{version:0{_WIDTH}d}", round(OUTDATED_S * 1000))
        else:
            self._write(_OUTDATE, conversation_id, _CLOSED, round(CLOSED_S * 1000))

    def _write(self, script: Script, conversation_id: str, *arguments: str | bytes | int) -> None:
        if self._writes < MAX_WRITES and self._redis.is_up():
            self._writes += 1
            self._tasks.spawn("snapshots in Redis", self._run(script, conversation_id, arguments))

    async def _run(
        self, script: Script, conversation_id: str, arguments: tuple[str | bytes | int, ...]
    ) -> None:
        try:
            await self._redis.run(script, [self._prefix + conversation_id], arguments)
        except ServerBusy:
            # A snapshot that stays too long is older than what each node has heard of, or expires by its age.
            pass
        finally:
            self._writes -= 1
