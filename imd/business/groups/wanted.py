"""What a group is to be like: checked as a whole, so that no half of a question or policy is ever kept."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from imd.business.groups.joining import Answers, JoinPolicy, check_question
from imd.business.groups.model import Group, Rules, check_title
from imd.business.permission.rights import MEMBERS_MAY_INVITE
from imd.kernel.errors import PayloadInvalid

T = TypeVar("T")


class Wanted(NamedTuple):
    """Changes of a group; None: as it is."""

    title: str | None = None
    join_policy: JoinPolicy | None = None
    #: Only together with its answer.
    question: str | None = None
    answer: str | None = None
    members_invite: bool | None = None
    consent: bool | None = None
    history_from_join: bool | None = None
    #: The operator's alone.
    kind: int | None = None
    sensitive: bool | None = None

    def applied(self, group: Group, answers: Answers) -> Group:
        """The group as it is wanted.

        :raises PayloadInvalid: it would not make sense.
        """
        rules = self._rules(group, answers)
        group = group._replace(
            title=group.title if self.title is None else check_title(self.title),
            kind=group.kind if self.kind is None else self.kind,
            sensitive=group.sensitive if self.sensitive is None else self.sensitive,
        )
        if rules.members_invite and group.kind not in MEMBERS_MAY_INVITE:
            if self.members_invite:
                raise PayloadInvalid(
                    "in a group of this kind members do not bring in others", field="membersInvite"
                )
            rules = rules._replace(members_invite=False)
        return group._replace(rules=rules)

    def _rules(self, group: Group, answers: Answers) -> Rules:
        before = group.rules
        rules = before._replace(
            join_policy=_or(self.join_policy, before.join_policy),
            members_invite=_or(self.members_invite, before.members_invite),
            consent=_or(self.consent, before.consent),
            history_from_join=_or(self.history_from_join, before.history_from_join),
        )
        if (self.question is None) != (self.answer is None):
            missing = "question" if self.question is None else "answer"
            raise PayloadInvalid("a question and its answer come together", field=missing)
        if self.question is not None and self.answer is not None:
            sealed = answers.sealed(group.conversation_id, self.answer)
            rules = rules._replace(question=check_question(self.question), sealed_answer=sealed)
        if rules.join_policy == JoinPolicy.QUESTION and not rules.sealed_answer:
            raise PayloadInvalid("this policy needs a question and its answer", field="question")
        return rules


def changes_between(before: Group, after: Group) -> list[str]:
    """Names of the rules that are not what they were, as clients know them; no answers."""
    names = {
        "kind": before.kind != after.kind,
        "sensitive": before.sensitive != after.sensitive,
        "joinPolicy": before.rules.join_policy != after.rules.join_policy,
        "question": before.rules[1:3] != after.rules[1:3],
        "membersInvite": before.rules.members_invite != after.rules.members_invite,
        "consent": before.rules.consent != after.rules.consent,
        "history": before.rules.history_from_join != after.rules.history_from_join,
    }
    return [name for name, differs in names.items() if differs]


def _or(wanted: T | None, known: T) -> T:
    return known if wanted is None else wanted
