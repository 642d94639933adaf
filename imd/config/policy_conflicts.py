"""What must hold of content policy beyond types and bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imd.config.conflict import Conflict
from imd.config.hook_url import wrong_hook_url
from imd.config.policy import EVENTS, FAILURE_MODES, BusinessWebhook, Content
from imd.config.secret import read_secret

#: What may be done about a word; ``imd.core.screening`` says how.
WORD_ACTIONS = ("replace", "refuse", "review", "allow")
#: HMAC-SHA256 is as strong as its key.
SECRET_BYTES = 32


def of_content(content: Content) -> Iterator[Conflict]:
    """What is wrong with [content]. Word lists themselves are read at start, by the same code as later."""
    for index, file in enumerate(content.word_files):
        if not file.strip():
            yield Conflict(
                f"content.word_files[{index}]", "is empty; expected a file", ("content.word_files",)
            )
    yield from of_failure_mode(content.hook_on_failure)
    if content.hook_url:
        yield from _hook(
            "content.hook_url",
            content.hook_url,
            "content.hook_secret_file",
            content.hook_secret_file,
            allow_link_local=content.hook_allow_link_local,
        )


def of_failure_mode(mode: str) -> Iterator[Conflict]:
    """What is wrong with content.hook_on_failure."""
    if mode not in FAILURE_MODES:
        yield Conflict("content.hook_on_failure", f"is {mode!r}; expected one of {', '.join(FAILURE_MODES)}")


def of_words(lines: Sequence[str]) -> Iterator[Conflict]:
    """What is wrong with content.words, as far as the form of a line goes."""
    for index, line in enumerate(lines):
        word, _, action = line.rpartition("\t")
        if line.strip() and not line.startswith("#") and (not word or action.strip() not in WORD_ACTIONS):
            yield Conflict(
                f"content.words[{index}]",
                f"{line[:60]!r} is no line; expected a word, a tab, and {', '.join(WORD_ACTIONS[:-1])} or "
                f"{WORD_ACTIONS[-1]}",
                ("content.words",),
            )


def of_webhook(webhook: BusinessWebhook) -> Iterator[Conflict]:
    """What is wrong with [webhook]."""
    for index, event in enumerate(webhook.events):
        if event not in EVENTS:
            yield Conflict(
                f"webhook.events[{index}]",
                f"{event!r} is no event; expected some of {', '.join(EVENTS)}",
                ("webhook.events",),
            )
    if webhook.url:
        yield from _hook(
            "webhook.url",
            webhook.url,
            "webhook.secret_file",
            webhook.secret_file,
            allow_link_local=webhook.allow_link_local,
        )


def _hook(
    url_path: str, url: str, secret_path: str, secret_file: str, *, allow_link_local: bool
) -> Iterator[Conflict]:
    wrong = wrong_hook_url(url, allow_link_local=allow_link_local)
    if wrong:
        # The URL itself is not repeated: some hold a key.
        yield Conflict(url_path, wrong)
    if not secret_file:
        yield Conflict(secret_path, f"is empty; {url_path} needs a file with a secret", (url_path,))
        return
    try:
        secret = read_secret(secret_file)
    except ValueError as error:
        yield Conflict(secret_path, str(error))
    else:
        if len(secret.encode()) < SECRET_BYTES:
            yield Conflict(
                secret_path,
                f"{secret_file} is shorter than {SECRET_BYTES} bytes; openssl rand -hex 32 makes a good one",
            )
