"""What lesson files written before the form import."""

from course_lib.exercises.compare import same  # noqa: F401
from course_lib.exercises.form import whole  # noqa: F401
from course_lib.exercises.kinds import Check, Exercise, Mistake, Wrong  # noqa: F401
from course_lib.exercises.wants import *  # noqa: F403
