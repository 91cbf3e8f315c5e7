"""Read a student's answer out of a notebook: what it is made of, and whether it is begun.

Of a notebook's cells only the statements run that an answer needs.
"""

import ast
import builtins
import symtable
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Statement:
    """One statement of a notebook, at its top level."""

    node: ast.stmt
    cell: str  # the cell's id
    defines: frozenset[str]
    uses: frozenset[str]


def statements(cells: list[tuple[str, str]], kept: str) -> list[Statement]:
    """All statements of (id, source) cells that give a name to something.

    Lines for IPython (%, !) and lines that call `check` are left out: checking is the
    grader's. A cell that isn't Python is left out too, unless it is the one `kept`: then
    SyntaxError goes to its author.
    """
    found = []
    for id, source in cells:
        try:
            tree = ast.parse(without_magic(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if id == kept:
                raise
            continue
        for node in tree.body:
            defines = frozenset(stored(node))
            if defines and not checks(node):
                found.append(Statement(node, id, defines, frozenset(loaded(node))))
    return found


def without_magic(source: str) -> str:
    """Python's lines of a cell, the others emptied, so that line numbers stay."""
    lines = source.splitlines()
    return "\n".join("" if x.lstrip().startswith(("%", "!")) else x for x in lines)


def checks(node: ast.stmt) -> bool:
    """Whether a statement hands an answer to `check`."""
    calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    named = [f.id for f in calls if isinstance(f, ast.Name)]
    named += [f.attr for f in calls if isinstance(f, ast.Attribute)]
    simple = isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr)
    return simple and "check" in named


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


def needed(
    every: list[Statement], name: str, stub: str, given: set[str]
) -> list[Statement]:
    """The statements that an answer is made of, in the notebook's order.

    The answer itself is taken from its own cell; if that cell defines it no longer, from
    any other, the last one. What it uses is looked up in all cells; names in `given` are
    there already.
    """
    own = [s for s in every if name in s.defines]
    own = [s for s in own if s.cell == stub] or own[-1:]
    chosen = set(own)
    before = set(every[: every.index(own[0])]) if own else set()
    while True:
        wanted = set().union(*(s.uses for s in chosen)) - given
        more = {s for s in every if s.defines & wanted - {name}} - chosen
        if name in wanted:  # an answer may build on an earlier one of its name
            more |= {s for s in before if name in s.defines} - chosen
        if not more:
            return [s for s in every if s in chosen]
        chosen |= more


def answer_of(job: dict) -> Any:
    """Run what the answer is made of, and give the answer; ... if it isn't there."""
    every = statements(job["cells"], job["stub"])
    space: dict[str, Any] = {"__name__": "__main__"}
    space |= {name: course_s_own(where) for name, where in job["given"]}
    for one in needed(every, job["name"], job["stub"], {n for n, _ in job["given"]}):
        body = ast.Module([one.node], type_ignores=[])
        exec(compile(body, f"cell {one.cell}", "exec"), space)
    return space.get(job["name"], ...)


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
