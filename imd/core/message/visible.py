"""What a member sees of a conversation: who joined later may see it from a seq on only, as business decided then.

The one place that applies it to what is read back. What is said live reaches members only, who see it all.
"""

from __future__ import annotations

from imd.core.directory import ConversationEntry, Membership
from imd.core.message.model import Page


def first_visible(membership: Membership | None, user_id: int) -> int:
    """The first seq that this member sees."""
    return 1 if membership is None else max(1, membership.visible_from.get(user_id, 1))


def within(page: Page, first_seq: int) -> Page:
    """The part of a page, read backward, that may be shown, and whether there is more of that."""
    messages = page.messages
    if not messages or messages[0].seq > first_seq:
        return page
    return Page([message for message in messages if message.seq >= first_seq], more=False)


def unseen(entry: ConversationEntry) -> int:
    """The last seq that this user does not see; counts as read."""
    return max(0, entry.visible_from - 1)
