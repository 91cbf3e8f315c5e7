"""What a person is told: one class of error, on a console that can show it."""

import io
import sys

for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):  # a Windows console may lack "✓"
        _stream.reconfigure(errors="replace")


class Problem(Exception):
    """Something a person can mend; the text says how."""

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]  # in a notebook: no stack
