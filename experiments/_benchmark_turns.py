"""Processes that compile side by side and then measure, one after the other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import _script
from _benchmark_record import READY

from jaxstark import ProvingError


class Turn:
    """A process of ``benchmark_pipeline.py --hold``, started at once."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # of two pipes, one that nobody reads would fill up
            text=True,
            env=os.environ | environment,
        )
        self._printed = ""

    def until_ready(self) -> None:
        """Wait until it has compiled, or has ended before that."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == READY:
                return
            self._printed += line

    def measure(self) -> str:
        """Let it go on; what it printed. ``ProvingError`` with its sentence if it fails."""
        rest, _ = self._process.communicate("go on\n")
        return printed(self._process.returncode, self._printed + rest)

    def stop(self) -> None:
        """End it without having measured."""
        self._process.kill()
        self._process.communicate()


def printed(code: int, output: str, errors: str = "") -> str:
    """The output of a process that has ended; ``ProvingError`` with its last sentence if badly."""
    if code != _script.OK:
        said = (errors.strip() or output.strip() or "no message").splitlines()[-1]
        raise ProvingError(f"exit code {code}: {said.removeprefix('error: ')}")
    return output
