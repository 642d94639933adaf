"""All examinations at once, each on a thread and with a time of its own: a dead server holds up nobody but itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from imd.ctl.doctor.finding import Check, Finding

#: What it takes to say so beyond the time-outs of single calls.
GRACE_S = 5.0
_POLL_S = 0.2

ENDED = Check("doctor.ended", "nothing is known of what was not looked at")


class Examination(NamedTuple):
    """What is looked at together, because one connection or file serves for all of it.

    :param run: blocks, for ``timeout_s`` at most if all goes as it should; yields each finding as it is made.
    """

    about: str
    run: Callable[[], Iterable[Finding]]
    timeout_s: float


#: Called now and then with what is still under way.
Progress = Callable[[Sequence[str]], None]


def findings_of(
    examinations: Sequence[Examination], *, seconds: Callable[[], float], progress: Progress
) -> list[Finding]:
    """What all of them found, in their order; what does not end in time is said, and left behind."""
    runs = [_Run(examination) for examination in examinations]
    began_s = seconds()
    for run in runs:
        run.begin()
    while waiting := [run for run in runs if not run.ended]:
        waiting[0].wait(_POLL_S)
        elapsed_s = seconds() - began_s
        for run in waiting:
            if elapsed_s > run.examination.timeout_s + GRACE_S:
                run.give_up()
        progress([run.examination.about for run in runs if not run.ended])
    return [finding for run in runs for finding in run.findings()]


class _Run:
    """One of them under way."""

    def __init__(self, examination: Examination) -> None:
        self.examination = examination
        self._found: SimpleQueue[Finding] = SimpleQueue()
        self._done = threading.Event()
        self._given_up = False

    @property
    def ended(self) -> bool:
        return self._given_up or self._done.is_set()

    def begin(self) -> None:
        # A daemon: it may hang in a name look-up, which nothing interrupts.
        threading.Thread(target=self._run, name=f"doctor {self.examination.about}", daemon=True).start()

    def wait(self, timeout_s: float) -> None:
        self._done.wait(timeout_s)

    def give_up(self) -> None:
        self._given_up = not self._done.is_set()

    def findings(self) -> Iterator[Finding]:
        while True:
            try:
                yield self._found.get_nowait()
            except Empty:
                break
        if self._given_up:
            yield ENDED.fail(
                self.examination.about,
                f"not done after {self.examination.timeout_s + GRACE_S:.0f} s",
                "see whether its name can be looked up and its disk answers, and run this again",
            )

    def _run(self) -> None:
        try:
            for finding in self.examination.run():
                self._found.put(finding)
        except Exception as error:
            # What was found before it stays, and all others go on.
            self._found.put(
                ENDED.fail(
                    self.examination.about,
                    f"the check itself failed: {type(error).__name__}: {error}",
                    "run this again; if it stays, report it with this line",
                )
            )
        finally:
            self._done.set()
