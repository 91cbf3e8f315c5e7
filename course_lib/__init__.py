"""Next Token: how large language models work, by building one.

Each file is a room with one job. This one imports nothing: an import line in a lesson
tells you which file to open.
"""
