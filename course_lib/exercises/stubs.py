"""What a lesson shows of an exercise's answer: its source, and a stub to start from."""

import ast
import inspect
import textwrap
import types
from typing import Any

from course_lib.exercises.kinds import Exercise


def source(exercise: Exercise) -> str:
    """The answer, as a learner would type it."""
    if exercise.is_function:
        return textwrap.dedent(inspect.getsource(exercise.reference)).strip()
    return f"{exercise.name} = {exercise.reference!r}"


def stub(exercise: Exercise) -> str:
    """The answer with every body taken out: what the learner starts from."""
    if not exercise.is_function:
        return f"{exercise.name} = ..."
    text = source(exercise)
    lines = text.splitlines()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    for function in sorted(functions, key=lambda f: f.lineno, reverse=True):
        has_docstring = ast.get_docstring(function) is not None
        first = function.body[1 if has_docstring else 0]
        indent = " " * first.col_offset
        lines[first.lineno - 1 : function.end_lineno] = [f"{indent}..."]
    return "\n".join(lines)


def is_started(exercise: Exercise, answer: Any) -> bool:
    """Whether the learner has changed anything in the stub."""
    if answer is ...:
        return False
    if not exercise.is_function:
        return True
    blank = {}
    names = vars(inspect.getmodule(exercise.reference))  # for the stub's annotations
    exec(stub(exercise), dict(names), blank)
    return code_of(answer) != code_of(blank[exercise.reference.__name__])


def code_of(thing: Any) -> list:
    """The instructions of a function, or of all methods of a class (not its source:
    Python can't find the source of a class that was typed into a cell)."""
    if isinstance(thing, type):
        methods = [m for m in vars(thing).values() if inspect.isfunction(m)]
        return [code_of(method) for method in methods]
    if type(thing) is not types.FunctionType:
        return [type(thing)]
    code = thing.__code__
    constants = {repr(c) for c in code.co_consts if c not in (thing.__doc__, None, ...)}
    return [code.co_code, code.co_names, constants]


def task_text(exercise: Exercise) -> str:
    """The Markdown cell above the stub: title, minutes, rule."""
    minutes = f"{exercise.minutes} minute" + ("s" if exercise.minutes > 1 else "")
    return (
        f"### Exercise: {exercise.title}\n\n"
        f"*{minutes} · `{exercise.id}`*\n\n{exercise.rule.strip()}"
    )


def help_text(exercise: Exercise) -> str:
    """The Markdown cell below the check: folded, a hint and the answers, plain first."""
    hints = "\n".join(f"- {check.hint}" for check in exercise.checks)
    answers = {"An answer": source(exercise)}
    if exercise.plain is not None:
        answers = {
            "A plain answer": plain(exercise),
            "The course's own": source(exercise),
        }
    return "\n".join(
        [
            f"<details><summary>A hint</summary>\n\n{hints}\n\n</details>",
            *(
                f"<details><summary>{name}</summary>\n\n"
                f"```python\n{text}\n```\n\n</details>"
                for name, text in answers.items()
            ),
        ]
    )


def plain(exercise: Exercise) -> str:
    """The plainer answer as a learner would type it, under the answer's own name."""
    text = textwrap.dedent(inspect.getsource(exercise.plain)).strip()
    return text.replace(f"def {exercise.plain.__name__}(", f"def {exercise.name}(", 1)
