from imd.pb import bus_pb2 as _bus_pb2
from imd.pb import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FanoutMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FANOUT_MODE_UNSPECIFIED: _ClassVar[FanoutMode]
    PUSHED: _ClassVar[FanoutMode]
    HINTED: _ClassVar[FanoutMode]
    HANDED_ON: _ClassVar[FanoutMode]
    FANOUT_FAILED: _ClassVar[FanoutMode]
FANOUT_MODE_UNSPECIFIED: FanoutMode
PUSHED: FanoutMode
HINTED: FanoutMode
HANDED_ON: FanoutMode
FANOUT_FAILED: FanoutMode

class ExplainStoredQuery(_message.Message):
    __slots__ = ("serverMsgId", "conversationId", "seq", "senderId", "clientMsgId", "userId")
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    serverMsgId: int
    conversationId: str
    seq: int
    senderId: int
    clientMsgId: str
    userId: int
    def __init__(self, serverMsgId: _Optional[int] = ..., conversationId: _Optional[str] = ..., seq: _Optional[int] = ..., senderId: _Optional[int] = ..., clientMsgId: _Optional[str] = ..., userId: _Optional[int] = ...) -> None: ...

class ExplainStoredAnswer(_message.Message):
    __slots__ = ("failure", "message", "lastSeq", "deliveredSeq", "readSeq", "lastSeen", "recall")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    DELIVEREDSEQ_FIELD_NUMBER: _ClassVar[int]
    READSEQ_FIELD_NUMBER: _ClassVar[int]
    LASTSEEN_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    failure: _bus_pb2.Failure
    message: _message_pb2.Message
    lastSeq: int
    deliveredSeq: int
    readSeq: int
    lastSeen: int
    recall: _message_pb2.Message
    def __init__(self, failure: _Optional[_Union[_bus_pb2.Failure, _Mapping]] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., lastSeq: _Optional[int] = ..., deliveredSeq: _Optional[int] = ..., readSeq: _Optional[int] = ..., lastSeen: _Optional[int] = ..., recall: _Optional[_Union[_message_pb2.Message, _Mapping]] = ...) -> None: ...

class ExplainNodeQuery(_message.Message):
    __slots__ = ("conversationId", "seq", "senderId", "clientMsgId", "userId", "fromTime")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    FROMTIME_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    seq: int
    senderId: int
    clientMsgId: str
    userId: int
    fromTime: int
    def __init__(self, conversationId: _Optional[str] = ..., seq: _Optional[int] = ..., senderId: _Optional[int] = ..., clientMsgId: _Optional[str] = ..., userId: _Optional[int] = ..., fromTime: _Optional[int] = ...) -> None: ...

class ExplainFanout(_message.Message):
    __slots__ = ("at", "firstSeq", "lastSeq", "mode", "sessions", "nodeIds", "nodeCount")
    AT_FIELD_NUMBER: _ClassVar[int]
    FIRSTSEQ_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NODEIDS_FIELD_NUMBER: _ClassVar[int]
    NODECOUNT_FIELD_NUMBER: _ClassVar[int]
    at: int
    firstSeq: int
    lastSeq: int
    mode: FanoutMode
    sessions: int
    nodeIds: _containers.RepeatedScalarFieldContainer[int]
    nodeCount: int
    def __init__(self, at: _Optional[int] = ..., firstSeq: _Optional[int] = ..., lastSeq: _Optional[int] = ..., mode: _Optional[_Union[FanoutMode, str]] = ..., sessions: _Optional[int] = ..., nodeIds: _Optional[_Iterable[int]] = ..., nodeCount: _Optional[int] = ...) -> None: ...

class ExplainSession(_message.Message):
    __slots__ = ("sessionId", "deviceId", "since", "until", "ended")
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    sessionId: int
    deviceId: str
    since: int
    until: int
    ended: str
    def __init__(self, sessionId: _Optional[int] = ..., deviceId: _Optional[str] = ..., since: _Optional[int] = ..., until: _Optional[int] = ..., ended: _Optional[str] = ...) -> None: ...

class ExplainEvent(_message.Message):
    __slots__ = ("at", "what", "sessionId", "deviceId", "reason", "code", "count", "since")
    AT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    at: int
    what: str
    sessionId: int
    deviceId: str
    reason: str
    code: int
    count: int
    since: int
    def __init__(self, at: _Optional[int] = ..., what: _Optional[str] = ..., sessionId: _Optional[int] = ..., deviceId: _Optional[str] = ..., reason: _Optional[str] = ..., code: _Optional[int] = ..., count: _Optional[int] = ..., since: _Optional[int] = ...) -> None: ...

class ExplainNodeAnswer(_message.Message):
    __slots__ = ("failure", "nodeId", "fanoutsSince", "eventsSince", "lost", "fanouts", "sessions", "events")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    NODEID_FIELD_NUMBER: _ClassVar[int]
    FANOUTSSINCE_FIELD_NUMBER: _ClassVar[int]
    EVENTSSINCE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    FANOUTS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    failure: _bus_pb2.Failure
    nodeId: int
    fanoutsSince: int
    eventsSince: int
    lost: int
    fanouts: _containers.RepeatedCompositeFieldContainer[ExplainFanout]
    sessions: _containers.RepeatedCompositeFieldContainer[ExplainSession]
    events: _containers.RepeatedCompositeFieldContainer[ExplainEvent]
    def __init__(self, failure: _Optional[_Union[_bus_pb2.Failure, _Mapping]] = ..., nodeId: _Optional[int] = ..., fanoutsSince: _Optional[int] = ..., eventsSince: _Optional[int] = ..., lost: _Optional[int] = ..., fanouts: _Optional[_Iterable[_Union[ExplainFanout, _Mapping]]] = ..., sessions: _Optional[_Iterable[_Union[ExplainSession, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[ExplainEvent, _Mapping]]] = ...) -> None: ...
