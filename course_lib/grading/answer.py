"""Run a student's notebook up to a check, as the notebook would, and take what it was given.

What the student changed or added runs whole and in order, through IPython; a cell that
fails stops itself and not the rest. The lesson's own cells run where the answer needs a
name of theirs, so that a lesson which trains for minutes is graded in a second. What
counts is the value that the last `check("NN.name", value)` was given.
"""

import ast
import builtins
import contextlib
import functools
import signal
import subprocess
import symtable
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from IPython.core.history import HistoryManager
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.text import SList

LONG = 8  # seconds of processor time that a cell may take which the answer needs
SHORT = 0.5  # and one that, as far as can be seen, it doesn't
SPARE = 2  # and all of those together
PATIENCE = 2  # times as long it may take by the clock
BODIES = ("time", "timeit", "capture", "prun")  # magics whose cell is Python
# What can give a name a value without naming it.
UNSEEN = {"exec", "eval", "globals", "locals", "vars", "setattr", "get_ipython"}
# Magics that only a notebook's own IPython has; none gives a name a value.
ELSEWHERE = ("autosave", "clear", "cls", "connect_info", "edit", "less", "man", "more",
             "qtconsole", "subshell")  # fmt: skip
OURS = {"check", "points", "hint", "solution"}  # stand-ins are given; none needs a cell


class TooLong(BaseException):
    """A cell has run for too long. (No Exception: a student's `except` lets it by.)"""


class Taken(BaseException):
    """The check that counts has been given its value: nothing after it runs."""


@dataclass(frozen=True)
class Part:
    """What can be seen of a statement, or of a whole cell, without running it."""

    binds: frozenset[str] = frozenset()  # names that it gives a value
    uses: frozenset[str] = frozenset()  # names that it reads
    changes: frozenset[str] = frozenset()  # names whose values it may change
    unseen: bool = False  # it may bind any name

    def gives(self, wanted: set[str]) -> bool:
        """Whether it may have a part in the values of some names."""
        return self.unseen or bool((self.binds | self.changes) & wanted)


@dataclass(frozen=True)
class Cell:
    """A cell of code; a statement of one, where it is the lesson's own."""

    id: str
    source: str
    own: bool  # the lesson's own, unchanged
    parts: tuple[Part, ...] = ()  # its statements; none if it is no Python
    checks: tuple[str, ...] = ()  # ids of the exercises that it checks

    def binds(self, name: str) -> bool:
        return any(name in part.binds for part in self.parts)

    def gives(self, wanted: set[str], given: set[str]) -> bool:
        """Whether it may have a part in the values of some names."""
        if self.own:
            return any(part.binds & (wanted - given) for part in self.parts)
        return any(part.gives(wanted) for part in self.parts)

    def uses(self, wanted: set[str]) -> set[str]:
        """What it reads up to the last statement that has a part in some names."""
        last = [i for i, part in enumerate(self.parts) if part.gives(wanted)]
        upto = self.parts[: last[-1] + 1] if last else ()
        return set().union(*(part.uses for part in upto))


# What can be seen of a cell ------------------------------------------------------------


@functools.cache
def seen(id: str, source: str, own: bool) -> list[Cell]:
    """A cell with what its text shows; of one that is no Python, nothing.

    The lesson's own comes statement by statement, for only some of them may be needed;
    a cell that checks an answer stays whole.
    """
    try:
        nodes = ast.parse(python(source)).body
        parts = [part(node) for node in nodes]
        checks = tuple(id for node in nodes for id in checked(list(ast.walk(node))))
        if own and not checks:
            return [Cell(id, ast.unparse(n), own, (p,)) for n, p in zip(nodes, parts)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [Cell(id, source, own)]
    return [Cell(id, source, own, tuple(parts), checks)]


def part(statement: ast.stmt) -> Part:
    """What can be seen of a statement. Raises SyntaxError for what only looks like one."""
    nodes = list(ast.walk(statement))
    uses = loaded(statement)
    stars = [one for one in nodes if isinstance(one, ast.alias) and one.name == "*"]
    others = {n for one in nodes if isinstance(one, ast.Global) for n in one.names}
    others |= {root(one) for one in nodes if isinstance(one, ast.Attribute | ast.Subscript)
               and not isinstance(one.ctx, ast.Load)} - {""}  # fmt: skip
    return Part(
        frozenset(stored(statement) | others),
        frozenset(uses),
        frozenset(changed(nodes)),
        bool(stars or uses & UNSEEN),
    )


def python(source: str) -> str:
    """A cell in Python's own words; of a cell under %%time, and the like, what it times."""
    head, _, body = source.lstrip().partition("\n")
    if head.startswith("%%"):
        source = body if head[2:].partition(" ")[0] in BODIES else ""
    return TransformerManager().transform_cell(source)


def stored(node: ast.AST) -> set[str]:
    """The global names that a statement gives a value."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(n.asname or n.name).split(".")[0] for n in node.names}
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    if isinstance(node, ast.Lambda):
        return set()
    return set().union(*(stored(inner) for inner in ast.iter_child_nodes(node)))


def loaded(node: ast.AST) -> set[str]:
    """The global names that a statement reads, in the functions it defines too."""
    found, todo = set(), [symtable.symtable(ast.unparse(node), "cell", "exec")]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        top = table.get_type() == "module"
        read = [one for one in table.get_symbols() if one.is_referenced()]
        found |= {one.get_name() for one in read if top or one.is_global()}
    return found


def changed(nodes: list[ast.AST]) -> set[str]:
    """Names whose values a call may change: its arguments', and that of its method."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Call):
            called = [node.func] if isinstance(node.func, ast.Attribute) else []
            given = [*node.args, *(one.value for one in node.keywords)]
            found |= {root(one) for one in [*called, *given]}
    return found - {""}


def root(node: ast.AST) -> str:
    """The name that an expression such as rows["up"].append hangs on; '' if none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def checked(nodes: list[ast.AST]) -> list[str]:
    """The ids of the exercises that a text checks, such as 05.softmax."""
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    named = [one for one in calls if called(one.func) == "check"]
    first = [one.args[0] for one in named]
    return [str(one.value) for one in first if isinstance(one, ast.Constant)]


def called(function: ast.AST) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


# Which cells run -----------------------------------------------------------------------


@dataclass
class Plan:
    """What runs for an exercise: cells in order, the last one's check is the one."""

    cells: list[Cell]
    needed: frozenset[int]  # places of the cells that the answer needs
    more: list[Cell]  # what comes after that check and gives its name a value


def plan(job: dict) -> Plan:
    """Choose the cells that run for the exercise of a job."""
    name = job["name"]
    cells = [cell for one in job["cells"] for cell in seen(*one)]
    last = [i for i, one in enumerate(cells) if job["id"] in one.checks]
    binding = [i for i, one in enumerate(cells) if one.binds(name) and not one.checks]
    end = (last or binding or [len(cells) - 1])[-1]
    upto, after = cells[: end + 1], cells[end + 1 :]
    more = [i for i, one in enumerate(after) if one.binds(name) and not one.own]
    more = after[: more[-1] + 1] if more else []
    known = {name, *(name_of(id) for id in job["others"])}
    broken = {i for i, one in enumerate(upto) if not one.parts and name in one.source}
    return Plan(upto, needed(upto, name, known) | broken, more)


def needed(cells: list[Cell], name: str, given: set[str]) -> frozenset[int]:
    """The places of the cells that a name needs, itself or through others.

    Names in `given` are there without the lesson's own cells. Its checks always run,
    and those of other exercises need nothing.
    """
    wanted = {name}
    if cells and cells[-1].checks:
        wanted |= set().union(*(part.uses for part in cells[-1].parts))
    chosen = {i for i, one in enumerate(cells) if one.own and one.checks}
    others = chosen - {len(cells) - 1}
    while True:
        wanted -= OURS | vars(builtins).keys()
        more = {i for i, one in enumerate(cells) if one.gives(wanted, given)}
        used = set().union(*(cells[i].uses(wanted) for i in (more | chosen) - others))
        used -= OURS | vars(builtins).keys()
        if more <= chosen and used <= wanted:
            return frozenset(chosen)
        chosen |= more
        wanted |= used


# Running them --------------------------------------------------------------------------


@functools.cache
def shell() -> InteractiveShell:
    """IPython, quiet and without a memory of its own; made before anybody's cells run."""
    HistoryManager.enabled = False
    one = InteractiveShell.instance()
    one.showtraceback = one.showsyntaxerror = lambda *args, **named: None
    one.display_formatter.format = lambda *args, **named: ({}, {})
    one.set_hook("show_in_pager", lambda *args, **named: None)
    one.system = one.system_piped = one.system_raw = run_command  # without a terminal
    one.enable_gui = lambda *args, **named: None
    for name in ELSEWHERE:
        one.register_magic_function(lambda line: None, "line", name)
    one.getoutput = lambda words, **named: SList(run_command(words).splitlines())
    return one


def run_command(words: str) -> str:
    """What `!words` does in a cell, and what it says."""
    done = subprocess.run(
        words,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.stdout.decode(errors="replace")


class Notebook:
    """A student's notebook while it runs for one exercise."""

    def __init__(self, job: dict, space: dict[str, Any]):
        self.job, self.space = job, space
        self.given: Any = ...  # what the check was given
        self.spare = SPARE  # seconds for cells that seem not to be needed
        self.left = 0  # checks of it that are still to come in the cell that counts
        self.error: BaseException | None = (
            None  # the first that a needed cell ended with
        )
        self.own = {id: course_s_own(where) for id, where in job["others"].items()}

    def answer(self) -> Any:
        """Run what the answer needs, and give what its check was given.

        `...` where that was nothing, or a stub; raises what stopped the cells then.
        """
        todo = plan(self.job)
        self.prepare()
        for i, one in enumerate(todo.cells):
            if i in todo.needed or not (one.own or self.job["lean"]):
                if i == len(todo.cells) - 1:
                    self.left = one.checks.count(self.job["id"])
                self.run(one, i in todo.needed)
                self.restore(one, todo.cells)
        if self.given is ...:
            self.given = self.space.get(self.job["name"], ...)
        if self.blank():  # typed below its check, and the check not run again
            for one in todo.more:
                if not one.own:
                    self.run(one, True)
            self.given = self.space.get(self.job["name"], ...)
        if self.given is ... and self.error and not self.untouched():
            raise self.error
        return self.given

    def untouched(self) -> bool:
        """Whether all that went wrong is that nobody has typed the answer."""
        error, name = self.error, self.job["name"]
        return isinstance(error, NameError) and error.name == name

    def blank(self) -> bool:
        return is_blank(self.given, self.job["blank"], self.job["name"])

    def prepare(self) -> None:
        """Give the names that every cell finds: the other answers, and the checks'."""
        instead = {"check": self.check, "points": no_points}
        instead |= dict.fromkeys(("hint", "solution", "predict"), nothing)
        vars(sys.modules["course_lib.classroom"]).update(instead)
        self.space.update({name: instead[name] for name in OURS})
        self.space.update({name_of(id): own for id, own in self.own.items()})

    def run(self, cell: Cell, is_needed: bool) -> None:
        """Run a cell as a notebook does; an error stops nothing but the cell."""
        error, began = None, time.monotonic()
        try:
            with time_limit(LONG if is_needed else max(0.1, min(SHORT, self.spare))):
                ran = shell().run_cell(cell.source, silent=True)
            error = ran.error_before_exec or ran.error_in_exec
        except BaseException as raised:  # whatever a student's cell can raise
            error = raised
        if not is_needed:
            self.spare -= time.monotonic() - began
        elif not isinstance(error, Taken):
            self.error = self.error or error

    def restore(self, cell: Cell, cells: list[Cell]) -> None:
        """Where another answer's check is gone, do what it would have done."""
        there = {id for one in cells for id in one.checks}
        for id, own in self.own.items():
            if cell.binds(name_of(id)) and id not in there:
                self.space[name_of(id)] = own

    def check(self, id: str, answer: Any = ..., *more, **named) -> Any:
        """Stands for the classroom's: takes the answer, and goes on as if it passed.

        What comes after it goes on with the course's own of the other exercises, so that
        a mistake is not paid for twice.
        """
        if id != self.job["id"]:
            return self.own.get(id, answer)
        self.given = answer
        self.left -= 1
        if self.left == 0:
            raise Taken
        return answer


def no_points(*args, **named) -> int:
    return 0


def nothing(*args, **named) -> None:
    return None


def name_of(id: str) -> str:
    """The name that an answer has in a lesson: total of 06.total."""
    return id.partition(".")[2].partition("@")[0]


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop a cell that computes, or waits, for too long."""

    def stop(*_) -> None:
        raise TooLong("a cell ran for too long and was stopped")

    clocks = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    for sign in clocks:
        signal.signal(sign, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)  # again, if it was swallowed
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds, 0.5)
    try:
        yield
    finally:
        for sign, clock in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(sign, signal.SIG_IGN)


def answer_of(job: dict) -> Any:
    """Run a job's cells, and give the answer; ... if it isn't there."""
    return Notebook(job, shell().user_ns).answer()


def course_s_own(where: str) -> Any:
    """A function of a module, such as gpt:scores."""
    module, _, name = where.partition(":")
    return vars(sys.modules[f"course_lib.{module}"])[name]


def forget(where: str) -> None:
    """Take the course's own answer out of every module."""
    if not where:
        return
    own = course_s_own(where)
    for module in [m for n, m in sys.modules.items() if n.startswith("course_lib.")]:
        for name in [n for n, thing in vars(module).items() if thing is own]:
            delattr(module, name)


def is_blank(answer: Any, blank: str, name: str) -> bool:
    """Whether the answer is still the stub."""
    from course_lib.exercises import stubs

    if answer is ...:
        return True
    if not blank.startswith(("def ", "class ")):
        return False
    space = Anything()
    exec(blank, space)
    return stubs.code_of(answer) == stubs.code_of(space[name])


class Anything(dict):
    """Names for a stub's annotations, which need not mean anything here."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return Shape()


class Shape:
    """Stands for any module, type or number in a stub's head."""

    def __getattr__(self, name: str) -> "Shape":
        return self

    def __getitem__(self, key: Any) -> "Shape":
        return self

    def __or__(self, other: Any) -> "Shape":
        return self

    __ror__ = __or__
