from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DevicePresence(_message.Message):
    __slots__ = ("platform", "since")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    platform: str
    since: int
    def __init__(self, platform: _Optional[str] = ..., since: _Optional[int] = ...) -> None: ...

class Presence(_message.Message):
    __slots__ = ("userId", "online", "devices", "lastSeen")
    USERID_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LASTSEEN_FIELD_NUMBER: _ClassVar[int]
    userId: int
    online: bool
    devices: _containers.RepeatedCompositeFieldContainer[DevicePresence]
    lastSeen: int
    def __init__(self, userId: _Optional[int] = ..., online: _Optional[bool] = ..., devices: _Optional[_Iterable[_Union[DevicePresence, _Mapping]]] = ..., lastSeen: _Optional[int] = ...) -> None: ...

class PresenceSubscribeReq(_message.Message):
    __slots__ = ("userIds",)
    USERIDS_FIELD_NUMBER: _ClassVar[int]
    userIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, userIds: _Optional[_Iterable[int]] = ...) -> None: ...

class PresenceNotice(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[Presence]
    def __init__(self, users: _Optional[_Iterable[_Union[Presence, _Mapping]]] = ...) -> None: ...
