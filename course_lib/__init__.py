"""Next Token: how large language models work, by building one.

What a lesson's cell may import lies in this folder; what no lesson imports lies in a
folder named after who uses it. This file imports nothing of the course: an import line
in a lesson tells you which file to open.
"""

import sys

if sys.version_info < (3, 8):  # older ones can't even read the next file  # noqa: UP036
    sys.exit("This Python is too old: the course needs 3.11 or newer, from python.org.")
