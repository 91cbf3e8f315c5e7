"""All attacks of tests/hostile.py; tests/grading/test_class.py has the quick ones of them."""

import pytest

from course_lib.grading import grader, release
from tests import hostile, submissions

REST = [kind for kind in hostile.GRADES if kind not in hostile.SLOW]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kinds", [REST, list(hostile.SLOW)], ids=["all", "slow"])
def test_an_attack_costs_its_author_and_nobody_else(kinds, tmp_path, shut_in):
    if not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    released = release.release("06", tmp_path)[2]
    hostile.hand_in(kinds, released, tmp_path / "in")
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06")
    found = {one.student: one.points for one in grader.grade(order)}
    mates = dict.fromkeys(("a_mate", "mate", "z_mate"), submissions.ALL)
    assert found == {kind: hostile.GRADES[kind] for kind in kinds} | mates
    assert not hostile.left()
    assert order.table.with_suffix(".json").stat().st_size < 300_000
