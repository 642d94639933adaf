"""Content policy of the core role, as [content] says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from imd.bus.audit import RELEASED, AuditEntry, AuditLog
from imd.bus.port import Bus
from imd.config.bounds import BOUNDS
from imd.config.policy import Content
from imd.core.gateway.acks import Acks
from imd.core.message.ports import MessageLog
from imd.core.message.recipients import LocalSessions
from imd.core.message.sends import Submit
from imd.core.screening.chain import Chain, Step
from imd.core.screening.gate import Gate
from imd.core.screening.holding import DecisionsHeard
from imd.core.screening.http_hook import HttpHook
from imd.core.screening.model import CONTENT, Draft, FailureMode
from imd.core.screening.ports import HeldMessages
from imd.core.screening.word_files import WrongLists, load_words
from imd.core.screening.word_lists import WordLists
from imd.core.screening.words import Words
from imd.hooks.agent import hook_agent
from imd.hooks.breaker import Breaker
from imd.hooks.post import SignedPosts
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.roles.secrets import password
from imd.roles.stages import Pool

#: The word filter answers at once, so this is never waited for.
_NO_DEADLINE_S = 1.0


class Checks:
    """Which checks there are, by what is configured now; words first, since they cost nothing."""

    def __init__(self, *, chain: Chain, hook: HttpHook | None, content: Content) -> None:
        self._chain = chain
        self._hook = hook
        self._content = content
        self._words = Words(())
        self._arrange()

    def take_words(self, words: Words) -> None:
        """From now on these."""
        self._words = words
        self._arrange()

    def take_settings(self, content: Content) -> None:
        """Another deadline or failure mode of the hook; where it is stays."""
        self._content = content
        self._arrange()

    def _arrange(self) -> None:
        steps: list[Step] = []
        if len(self._words):
            steps.append(Step("the word filter", self._words, _NO_DEADLINE_S, FailureMode.CLOSED))
        if self._hook is not None:
            content = self._content
            on_failure = FailureMode(content.hook_on_failure)
            steps.append(Step("the content hook", self._hook, content.hook_deadline_ms / 1000, on_failure))
        self._chain.steps = tuple(steps)


class Screening(NamedTuple):
    """What has to be started, and what messages go through."""

    stages: list[tuple[str, Stage]]
    gate: Gate
    checks: Checks
    lists: WordLists
    hook: HttpHook | None

    def wrong(self, content: Content) -> Sequence[str]:
        """What the word filter would not take of these lines; files are looked at where they are read."""
        try:
            load_words((), content.words)
        except WrongLists as error:
            return [f"content.words: {problem}" for problem in error.problems]
        return ()

    def take_settings(self, content: Content) -> None:
        """What can change while the node runs."""
        self.checks.take_settings(content)
        self.lists.take_lines(content.words)


def build_screening(
    content: Content,
    *,
    text_bytes: int,
    reactor: Any,
    clock: Clock,
    wall_clock: WallClock,
    bus: Bus,
    submit: Submit,
    held: HeldMessages,
    acks: Acks,
    log: MessageLog,
    sessions: LocalSessions,
    audit: AuditLog,
    tasks: Tasks,
) -> Screening:
    """Put it together; files are read when its stages start.

    :raises StartupError: the hook's secret cannot be read.
    """
    chain = Chain(steps=(), clock=clock, released=lambda draft, check: audit.record(_released(draft, check)))
    hook = _hook(content, text_bytes=text_bytes, reactor=reactor, clock=clock, wall_clock=wall_clock)
    checks = Checks(chain=chain, hook=hook, content=content)
    pool = ThreadPool(minthreads=0, maxthreads=1, name="word-lists")
    lists = WordLists(
        take=checks.take_words,
        files=content.word_files,
        extra=content.words,
        threads=partial(deferToThreadPool, reactor, pool),
        clock=clock,
        tasks=tasks,
        poll_s=content.word_poll_s,
    )
    gate = Gate(
        check=chain,
        submit=submit,
        log=log,
        held=held,
        on_held=acks.held,
        record=audit.record,
        tasks=tasks,
    )
    stages: list[tuple[str, Stage]] = [
        ("word list thread", Pool(pool)),
        ("word lists", lists),
        ("decisions", DecisionsHeard(bus=bus, sessions=sessions)),
    ]
    return Screening(stages, gate, checks, lists, hook)


def _hook(
    content: Content, *, text_bytes: int, reactor: Any, clock: Clock, wall_clock: WallClock
) -> HttpHook | None:
    if not content.hook_url:
        return None
    posts = SignedPosts(
        agent=hook_agent(
            reactor,
            connections=content.hook_connections,
            allow_link_local=content.hook_allow_link_local,
        ),
        url=content.hook_url,
        secret=password("content", content.hook_secret_file).encode(),
        clock=clock,
        wall_clock=wall_clock,
        # The deadline is the chain's, and may be changed while nodes run; no call outlasts the longest there can be.
        timeout_s=BOUNDS["content.hook_deadline_ms"].high / 1000,
    )
    return HttpHook(
        posts=posts,
        breaker=Breaker(clock=clock),
        connections=content.hook_connections,
        max_text_bytes=text_bytes,
    )


def _released(draft: Draft, check: str) -> AuditEntry:
    return AuditEntry(
        action="message.send",
        decision=RELEASED,
        reason=CONTENT,
        actor_id=draft.sender_id,
        conversation_id=draft.conversation_id,
        request_id=draft.client_msg_id,
        detail=json.dumps({"unjudged": check}),
    )
