"""What each role reads of the configuration, whichever file it comes from."""

from __future__ import annotations

from typing import Protocol

from imd.config.permission import Permission
from imd.config.policy import BusinessWebhook, Content
from imd.config.quotas import Quotas
from imd.config.sections import Access, Accounts, Audit, CoreLimits, Gateway, LoginPolicy, Messages, Presence
from imd.config.tracing import Tracing


class CoreSettings(Protocol):
    """What the core role reads, of either file."""

    @property
    def node_id(self) -> int: ...

    @property
    def gateway(self) -> Gateway: ...

    @property
    def limits(self) -> CoreLimits: ...

    @property
    def quotas(self) -> Quotas: ...

    @property
    def messages(self) -> Messages: ...

    @property
    def permission(self) -> Permission: ...

    @property
    def presence(self) -> Presence: ...

    @property
    def content(self) -> Content: ...

    @property
    def webhook(self) -> StoredHook: ...

    @property
    def tracing(self) -> Tracing: ...


class StoredHook(Protocol):
    """See ``CoreWebhook``."""

    @property
    def enabled(self) -> bool: ...


class RestRates(Protocol):
    """See ``BusinessLimits``."""

    @property
    def logins_per_min(self) -> float: ...

    @property
    def registrations_per_hour_per_ip(self) -> float: ...

    @property
    def user_requests_per_s(self) -> float: ...


class BusinessSettings(Protocol):
    """What the business role reads, of either file."""

    @property
    def node_id(self) -> int: ...

    @property
    def gateway(self) -> Access: ...

    @property
    def limits(self) -> RestRates: ...

    @property
    def accounts(self) -> Accounts: ...

    @property
    def audit(self) -> Audit: ...

    @property
    def login_policy(self) -> LoginPolicy: ...

    @property
    def webhook(self) -> BusinessWebhook: ...
