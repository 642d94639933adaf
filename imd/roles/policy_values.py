"""[permission] of the configuration, as the services of core take it."""

from __future__ import annotations

from typing import Any

from imd.config.permission import AUDIT, Permission, cell
from imd.core.permission.values import (
    MATRIX,
    AuditLevel,
    ChannelValues,
    ConversationKind,
    Deadlines,
    Decision,
    Gray,
    Matrix,
    MessageKind,
    PolicyValues,
    Throttle,
)


def policy_values(permission: Permission, *, version: int = 0) -> PolicyValues:
    """The record that stands for this section.

    :param version: of the settings that it comes from; 0: the node's own file.
    """
    return PolicyValues(
        version=version,
        channel=_channel(permission),
        deadlines=Deadlines(
            large_s=permission.deadline_large_ms / 1000,
            managed_s=permission.deadline_managed_ms / 1000,
            public_s=permission.deadline_public_ms / 1000,
            ordinary_s=permission.deadline_ms / 1000,
            large_members=permission.large_group_members,
        ),
        matrix=_matrix(permission.matrix),
        gray=Gray(
            scenes=frozenset(permission.release_scenes),
            min_level=permission.release_min_level,
            users_percent=permission.release_users_percent,
        ),
        shadow=permission.shadow,
        sensitive_throttle=Throttle(permission.sensitive_throttle_above, permission.sensitive_throttle_to),
        ordinary_throttle=Throttle(permission.ordinary_throttle_above, permission.ordinary_throttle_to),
    )


def _channel(permission: Permission) -> ChannelValues:
    return ChannelValues(
        degraded_above_s=permission.degraded_above_ms / 1000,
        timed_out_above_s=permission.timed_out_above_ms / 1000,
        degraded_share=permission.degraded_share,
        timed_out_share=permission.timed_out_share,
        span_s=permission.span_s,
        min_questions=permission.min_questions,
        open_after_failures=permission.open_after_failures,
        open_share=permission.open_share,
        open_share_s=permission.open_share_s,
        half_open_after_s=permission.half_open_after_s,
        probes_per_s=permission.probes_per_s,
        close_share=permission.close_share,
        close_after_s=permission.close_after_s,
        alert_share=permission.alert_share,
        alert_after_s=permission.alert_after_s,
    )


def _matrix(cells: list[str]) -> Matrix:
    """That of the spec, but for these cells; the last word on one counts."""
    matrix = dict(MATRIX)
    for text in cells:
        kind, message, column, word = cell(text)
        row = ConversationKind(kind), MessageKind(message)
        value: Any = AuditLevel[word.upper()] if column == AUDIT else Decision(word)
        matrix[row] = matrix[row]._replace(**{column: value})
    return matrix
