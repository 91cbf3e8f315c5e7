"""The README: its commands, its picture, its links, its map."""

import re
from functools import partial

from course_lib import devices, pretrained, sampling
from course_lib.cli.parser import parser
from course_lib.files import ROOT
from course_lib.notebooks import cells, curriculum, refresh
from tests import hostile, submissions

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEACHERS = (ROOT / "TEACHERS.md").read_text(encoding="utf-8")
ROWS = {  # how the teacher's page calls the kinds of submissions
    "right": "right",
    "right, in unusual forms": "unusual",
    "two right, one in part": "half",
    "empty": "empty",
    "cells renamed": "renamed",
    "a check cell deleted": "unchecked",
    "a loop without end": "loop",
    "`os._exit`": "crash",
    "memory without end": "memory",
    "prints a forged result": "forged",
    "replaces the functions": "patched",
    "reads the answers": "reader",
    "writes to stderr": "noisy",
}


def test_ci_runs_the_readmes_test_command_to_the_letter():
    command = "python -m course_lib test"
    assert f"\n```\n{command}\n```\n" in README
    ran = (ROOT / ".ci" / "run").read_text()
    assert f"\n{command}\n" in ran and ran.endswith(f"\n{command} --rest\n")


def test_picture_is_lesson_00s_own():
    assert refresh.FIGURE.read_bytes() == refresh.readme_figure()
    assert "assets/next_token.png" in README


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https:)(.+?)\)", README + TEACHERS):
        assert (ROOT / link).exists(), link


def test_every_lesson_is_in_the_table():
    for path in cells.paths():
        title = cells.read(path).cells[0].source.splitlines()[0].removeprefix("# ")
        assert f"(notebooks/{path.name}) | {title} |" in README


def test_every_module_and_folder_is_on_the_map():
    home, lessons = ROOT / "course_lib", curriculum.built()
    for path in home.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if name not in ("__init__.py", "__pycache__/"):
            (row,) = re.findall(rf"(?m)^  {re.escape(name)} .+$", README)
            built = ", ".join(lessons.get(path.stem, []))
            assert row.endswith(f" {built}" if built else row), row


def test_the_stories_are_the_models_own():
    """Both quoted stories are among the first that the model in assets/ tells."""
    model, encoding, _ = pretrained.tinyworld()
    told = set()
    for seed in range(4):
        chance = devices.generator(seed)
        ids = sampling.generate(
            model,
            encoding.encode("One"),
            partial(sampling.sample, generator=chance),
            80,
        )
        told.add("One" + encoding.decode(list(ids)).split("\n")[0])
    quoted = re.findall(r"(?m)((?:^> .+\n)+)", README)
    stories = [" ".join(re.findall(r"(?m)^> (.+)$", one)) for one in quoted]
    assert len(stories) == 2 and set(stories) <= told


def test_the_teachers_page_gives_the_grades_that_are_tested():
    table = TEACHERS.partition("## Grades, stated and given")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (.+?) \| \**(\d+)\**.*? \| \**(\d+)\**.*? \|$", table)
    assert len(rows) == len(ROWS) == len(submissions.KINDS)
    for text, ours, theirs in rows:
        (kind,) = {ROWS[max((r for r in ROWS if text.startswith(r)), key=len)]}
        assert submissions.OURS[kind] == int(ours), text
        assert submissions.THEIRS[kind] == int(theirs), text


ATTACKS = {  # how a row of the second table begins → the kinds of tests/hostile.py
    "loops": "loop_at_definition sleep_at_definition crash_at_definition swallows_time",
    "answers the grader": "forge_failed forge_answer forge_deep forge_large forge_wide "
    "forge_array forge_class forge_drip stop_reading late_child",
    "returns lists": "huge_repr huge_value huge_error forge_long_number odd_object "
    "lone_surrogate escape_codes flood",
    "is right only": "detects_the_grader",
    "writes into": "mutate_inputs poison_presets forge_frozen",
    "leaves": "leave_sysv_memory leave_a_queue leave_a_key stay_behind kill_all",
    "makes 150": "fork_many many_threads memory_by_children memory_by_memfd fill_disk "
    "many_files open_files",
    "reads the released": "reads_the_release reads_a_classmate",
    "keeps": "smuggle",
    "replaces": "patches",
    "names another": "names_another_lesson",
}


def test_the_teachers_page_gives_the_grades_of_all_attacks_that_are_tested():
    table = TEACHERS.partition("| `total`, or every cell,")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"(?m)^\| (.+?) \| (.+?) \|$", table))
    for begin, kinds in ATTACKS.items():
        (said,) = [rows[one] for one in rows if one.startswith(begin)]
        grades = {hostile.GRADES[kind] for kind in kinds.split()}
        assert {int(one) for one in re.findall(r"\d+", said)} == grades, begin
    every = [kind for kinds in ATTACKS.values() for kind in kinds.split()]
    assert sorted(every) == sorted(hostile.GRADES)
    assert len(rows) == len(ATTACKS) + 1  # and the one of what is right


def test_commands_on_the_pages_are_understood():
    lines = re.findall(r"\bpython -m (course_lib [^`\n]+)", README + TEACHERS)
    assert len(lines) > 16
    for line in lines:
        words = line.split()[1:]
        assert parser().parse_args([w.strip("…") or "x" for w in words])
