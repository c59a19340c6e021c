"""Worker processes of a check: each is given its work on stdin, answers on stdout, and is ended by whoever started it.

Answers come through a pipe, which holds only so many: a worker that is ahead waits, and memory stays flat. A worker that
ends early is lost, and nothing that it did not say is believed.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

# In this interpreter, with what it finds: `multiprocessing` would run the caller's own program once more in each worker.
_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from engine.proof.workers import main; main()"
)
# Whatever the half of an answer can raise.
_CUT = (EOFError, OSError, pickle.UnpicklingError, AttributeError, ImportError, LookupError, TypeError, ValueError)


class Work(Protocol):
    """What a worker is given; it goes there and its answers come back as pickles."""

    def answers(self) -> Iterator[Any]:
        """What the worker tells, in order. An error ends it."""


class Lost(Exception):
    """A worker could not be started, or has ended before it had answered."""


class Worker:
    """A process that was started. Raises Lost."""

    def __init__(self, work: Work) -> None:
        try:
            # A session of its own: a Ctrl-C is for this process, which ends its workers.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise Lost(str(error)) from error
        try:
            self._give(work)
        except BaseException:  # an interrupt: nobody else knows of the process yet
            self.end()
            raise

    def _give(self, work: Work) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as given:
            pickle.dump(sys.path, given)
            pickle.dump(work, given)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def answer(self) -> Any:
        """The next answer, once it is there. Raises Lost."""
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)  # noqa: S301 - from a process that this one has started
        except _CUT as error:
            self._process.kill()
            raise Lost(f"exit {self._process.wait()}") from error

    def end(self) -> None:
        """End it, whatever it does."""
        assert self._process.stdout is not None
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def working(works: Iterable[Work]) -> Iterator[Sequence[Worker]]:
    """A worker for each work. At the end, however it comes, none of them is left. Raises Lost."""
    workers: list[Worker] = []
    try:
        for work in works:
            workers.append(Worker(work))
        yield workers
    finally:
        for worker in workers:
            worker.end()


def cores() -> int:
    """How many processes can run at once."""
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main() -> None:
    """In a worker: do what is given on stdin."""
    work: Work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    gc.freeze()  # what was imported stays
    out = sys.stdout.buffer
    try:
        for answer in work.answers():
            pickle.dump(answer, out, pickle.HIGHEST_PROTOCOL)
            out.flush()
    except BrokenPipeError:
        os._exit(0)  # nobody reads on: the check has ended
