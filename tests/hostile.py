"""Submissions that attack the grader, the class or the machine, and their grades.

Each is right but for `total` (3 of 21 points), whose cell does what its name says; or
tries it in every cell. The grade of each is stated here, before anything is graded: who
attacks loses those points and no more, and a classmate loses none.
"""

import time
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests import submissions
from tests.submissions import ALL, LESS_TOTAL, POINTS, answer, solve, stub

HEAD = "import ctypes, glob, json, os, signal, socket, struct, sys, threading, time\n"
DO = "def total(config, tied=True):\n"


def calls(body: str) -> str:
    """A `total` that does this when it is called."""
    return HEAD + DO + "\n".join(f"    {line}" for line in body.splitlines())


def first(text: str, then: str = "return 1") -> str:
    """A cell that does this when it runs, and then has a `total` that is wrong."""
    return f"{HEAD}{text}\n{calls(then)}"


LINK = (  # the connection to the grader is inherited
    "link = socket.socket(fileno=os.dup(3))\n"
    "def message(head, *blobs):\n"
    "    raw = [head if type(head) is bytes else json.dumps(head).encode(), *blobs]\n"
    "    sizes = [len(one) for one in raw]\n"
    "    return struct.pack(f'>Q{len(raw)}Q', len(raw), *sizes) + b''.join(raw)\n"
)
DEEP = "b'{\"body\": {\"answer\": ' + b'[' * 10**6 + b'}'"
STATES = "{'body': {'answer': 'value', 'value': {'thing': 1}}, 'states': [[1, %s]]}"
# Lists that hold each other a thousand times: small, and without end when printed.
HUGE = "x = 1\nfor _ in range(9):\n    x = [x] * 1000\nreturn x"
SPOIL = (
    "import gc\nfor one in gc.get_objects():\n"
    "    if type(one).__name__ == 'GPTConfig':\n"
    "        for name in ('layers', 'channels', 'heads', 'vocabulary', 'context'):\n"
    "            object.__setattr__(one, name, 0)\n"
)
# What is written where a classmate's answer, the next exercise or the teacher finds it.
KEEP = "c = ctypes.CDLL(None)\n"

TOTALS: dict[str, str] = {  # what `total` is, where all else is right
    # malformed messages, and the grader's time
    "forge_failed": first(
        LINK + "link.send(message({'body': {'failed': 5}, 'states': []}))"
    ),
    "forge_answer": first(
        LINK + "link.send(message({'body': {'answer': 'function'}, 'states': 7}))"
    ),
    "forge_deep": first(LINK + f"link.sendall(message({DEEP}))"),
    "forge_large": first(LINK + "link.sendall(struct.pack('>QQ', 1, 2**62))"),
    "forge_wide": first(LINK + "link.sendall(message(b'[' + b'[],' * 10**6 + b'1]'))"),
    "forge_array": first(
        LINK
        + f"link.sendall(message({STATES % repr(('array', 'f8', [10**12], 0))}, b'x' * 8))"
    ),
    "forge_class": first(
        LINK
        + f"link.sendall(message({STATES % repr(('object', 'os:system', [], []))}))"
    ),
    "forge_frozen": calls("object.__setattr__(config, 'layers', [[]])\nreturn 1"),
    "forge_long_number": calls("return int('9' * 4000) ** 3"),
    "huge_repr": calls(HUGE),
    "huge_error": calls("raise ValueError('x' * 60_000_000)"),
    "huge_value": calls("return ['x' * 100] * 10**6"),
    "lone_surrogate": calls(r"raise ValueError('\ud800')"),
    "escape_codes": calls(
        "raise type('X\\x1b[2J\\nAda  21 of 21', (Exception,), {})('\\x1b]0;x\\x07')"
    ),
    "late_child": first(
        LINK + "if os.fork() == 0:\n    while True:\n"
        "        time.sleep(.2)\n        link.send(message({'body': {}, 'states': []}))"
    ),
    # what is left behind, and what others find
    "leave_sysv_memory": calls(
        KEEP + "i = c.shmget(0xBADCAFE, 200 << 20, 0o1666)\nassert i >= 0\nreturn 1"
    ),
    "leave_a_queue": calls(KEEP + "assert c.msgget(0xBADCAFE, 0o1666) >= 0\nreturn 1"),
    "leave_a_key": calls(
        KEEP + "assert c.syscall(248, b'user', b'hostile', b'x', 1, -3) > 0\nreturn 1"
    ),
    "stay_behind": calls(
        "for _ in range(2):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        ctypes.CDLL(None).prctl(1, 0)\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        if os.fork() == 0:\n            os.execvp('sleep', ['sleep', '94321'])\n"
        "        os._exit(0)\nreturn 1"
    ),
    "kill_all": calls(
        "for who in (-1, 0, 1, 2, os.getppid()):\n    try:\n"
        "        os.kill(who, signal.SIGSTOP)\n        os.kill(who, signal.SIGKILL)\n"
        "    except OSError:\n        pass\nreturn 1"
    ),
    "fill_disk": calls(
        "for i in range(999):\n    with open(f'/tmp/{i}', 'wb') as f:\n"
        "        f.write(b'x' * (8 << 20))\nreturn 1"
    ),
    "many_files": calls(
        "for i in range(10**6):\n    open(f'/tmp/{i}', 'w').close()\nreturn 1"
    ),
    "fork_many": calls(
        "for _ in range(150):\n    if os.fork() == 0:\n        time.sleep(99)\nreturn 1"
    ),
    "many_threads": calls(
        "for _ in range(150):\n"
        "    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
        "return 1"
    ),
    "memory_by_children": calls(
        "for _ in range(3):\n    if os.fork() == 0:\n"
        "        x = bytearray(900 << 20)\n        time.sleep(99)\ntime.sleep(5)\nreturn 1"
    ),
    "memory_by_memfd": calls(
        "kept = [os.memfd_create(str(i)) for i in range(130)]\n"
        "for one in kept:\n    os.write(one, b'x' * (15 << 20))\nreturn 1"
    ),
    "open_files": calls(
        "kept = []\ntry:\n    while True:\n        kept.append(os.open('/', 0))\n"
        "except OSError:\n    return len(kept)"
    ),
    "flood": calls(
        "os.system('yes | head -c 10000000')\nprint('x' * 10**7, file=sys.stderr)\nreturn 1"
    ),
    "crash_at_definition": first("os._exit(0)"),
    "odd_object": HEAD
    + "class Odd:\n    __class__ = property(lambda s: int)\n"
    + "    __eq__ = lambda s, o: True\n    __hash__ = lambda s: 0\n"
    + "    __reduce__ = lambda s: (os.system, ('true',))\n"
    + "    __getattr__ = lambda s, n: s\n    __call__ = lambda s, *a, **k: s\n"
    + "total = Odd()",
    "detects_the_grader": HEAD
    + answer("total").replace("def total", "def right")
    + "\n"
    + DO
    + "    return right(config, tied) if 'pytest' in sys.modules else 7",
    "patches": first(
        "import builtins, torch\nbuiltins.sum = lambda *a: 124439808\n"
        "torch.equal = torch.allclose = lambda *a, **k: True\n"
        "import course_lib.classroom as c\nc.results = lambda *a: []"
    ),
}
SLOW: dict[str, str] = {  # the same, where a clock must run out
    "forge_drip": first(
        LINK + "link.send(struct.pack('>QQ', 1, 10**6))\nwhile True:\n"
        "    time.sleep(.03)\n    link.send(b' ')"
    ),
    "stop_reading": first(
        LINK + "good = message({'body': {'returned': 1}, 'states': []})\n"
        "link.send(message({'body': {'answer': 'function'}, 'states': []}))\n"
        "for _ in range(2000):\n    link.send(good)\ntime.sleep(999)"
    ),
    "loop_at_definition": first("while True:\n    pass"),
    "sleep_at_definition": first("time.sleep(999)"),
    "swallows_time": first(
        "while True:\n    try:\n        time.sleep(999)\n    except BaseException:\n"
        "        pass"
    ),
}

FINDS = "import course_lib.gpt, course_lib.sizing\n"


def everywhere(text: str) -> dict[str, str]:
    """The same in every cell, with an answer that nobody could give for it."""
    return {name: f"{HEAD}{text}\ndef {name}(*args, **named):\n    return 0"
            for name in POINTS}  # fmt: skip


# So that a text's annotations need no imports.
LATE = "from __future__ import annotations\n"


def reads(path: str) -> dict[str, str]:
    """Every answer is taken from a file."""
    text = (
        f"space = {{}}\ntext = {LATE!r} + open({path!r}).read()\n"
        "exec(compile(text, 'x', 'exec'), space)\n"
        "mine = space[NAME]"
    )
    return {
        name: f"{HEAD}NAME = {name!r}\n{text}\ndef {name}(*a, **k):\n    return mine(*a, **k)"
        for name in POINTS
    }


SMUGGLE = (  # the course's own functions of the other exercises, kept for their turn
    "import marshal\n"
    "for name in ('eight_rows', 'matrices', 'left_out', 'total', 'largest'):\n"
    "    one = globals().get(name)\n"
    "    if getattr(one, '__module__', '') == 'course_lib.sizing':\n"
    "        raw = marshal.dumps(one.__code__)\n"
    "        open(f'/tmp/{name}', 'wb').write(raw)\n"
    "        open(f'/var/tmp/{name}', 'wb').write(raw)\n"
)
FOUND = (
    "def {name}(*args, **named):\n    import marshal, types\n"
    "    code = marshal.loads(open('/tmp/{name}', 'rb').read())\n"
    "    return types.FunctionType(code, globals())(*args, **named)"
)
EVERY: dict[str, tuple[dict[str, str], int]] = {  # every cell, and the grade
    "mutate_inputs": (
        {
            name: f"def {name}(config, *args, **named):\n"
            "    for one in ('layers', 'channels', 'heads', 'vocabulary', 'context'):\n"
            "        object.__setattr__(config, one, 0)\n"
            "    return dict.fromkeys('embedding query key value output up down "
            "unembedding'.split(), 0) if NAME == 'eight_rows' else 0\n"
            f"NAME = {name!r}"
            for name in POINTS
        },
        0,
    ),
    "poison_presets": (everywhere(FINDS + SPOIL), 0),
    "smuggle": (
        {
            name: f"try:\n    {SMUGGLE.replace(chr(10), chr(10) + '    ').strip()}\n"
            f"except OSError:\n    pass\n{FOUND.format(name=name)}"
            for name in POINTS
        },
        0,
    ),
}


def copies(mate: str) -> dict[str, str]:
    """Every answer is taken from a classmate's notebook."""
    text = (
        f"cells = json.load(open({mate!r}))['cells']\n"
        "texts = [''.join(one['source']) for one in cells]\n"
        f"exec({LATE!r} + next(one for one in texts if one.startswith(f'def {{NAME}}(')))"
    )
    return {name: f"{HEAD}NAME = {name!r}\n{text}" for name in POINTS}


def made(kind: str, released: NotebookNode, course: Path, mate: Path) -> NotebookNode:
    """A submission of this kind; `course` has the teacher's answers, `mate` others'."""
    notebook = nbformat.reads(nbformat.writes(released), as_version=4)  # a copy
    solve(notebook)
    if kind in EVERY or kind in READ:
        cells = EVERY[kind][0] if kind in EVERY else READ[kind](course, mate)
        for name, text in cells.items():
            stub(notebook, name).source = text
    elif kind == "names_another_lesson":
        text = "\n".join("check('05.softmax', x)" for _ in range(100))
        notebook.cells.append(
            new_code_cell(f"if False:\n    {text}\n# {text}", id="vote")
        )
        notebook.metadata["next_token"] = {"lesson": "05", "seed": "EVE"}
    else:
        name, text = "largest" if kind in LAST else "total", (TOTALS | SLOW)[kind]
        if kind in LAST:
            text = text.replace(DO, f"def {name}(*args, **named):\n")
        stub(notebook, name).source = text
    return notebook


READ = {
    "reads_the_release": lambda course, mate: reads(str(course)),
    "reads_a_classmate": lambda course, mate: copies(str(mate)),
}
# What forges answers meets the exercises after its own, too: these are in the last one.
LAST = ("late_child", "stop_reading")
GRADES = {
    **dict.fromkeys([*TOTALS, *SLOW], LESS_TOTAL),
    **dict.fromkeys(LAST, ALL - POINTS["largest"]),
    **{kind: grade for kind, (_, grade) in EVERY.items()},
    **dict.fromkeys(READ, 0),
    "names_another_lesson": ALL,
    "patches": LESS_TOTAL - POINTS["largest"],  # Python itself, for what comes after
}


def left(patience: float = 5) -> list[str]:
    """What attacks have left on the machine: processes, shared memory, queues, keys."""
    until = time.monotonic() + patience
    while (found := marked()) and time.monotonic() < until:
        time.sleep(0.1)  # another test's, that is still being graded
    return found


def marked() -> list[str]:
    """Processes and lists of the kernel's in which an attack's own mark stands."""
    found = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"])]
    found = [" ".join(one) for one in found if one == ["sleep", "94321"]]
    for name in ("sysvipc/shm", "sysvipc/msg", "keys"):
        file = Path("/proc", name)
        text = file.read_text() if file.is_file() else ""
        found += [
            x for x in text.splitlines() if {str(0xBADCAFE), "hostile:"} & {*x.split()}
        ]
    return found


def hand_in(kinds: list[str], released: Path, folder: Path) -> None:
    """A notebook of each kind, KIND.ipynb, between two classmates who are right."""
    notebook = nbformat.read(released, as_version=4)
    folder.mkdir(parents=True)
    course = released.parent.parent / "source" / "answers.py"
    course.write_text("\n".join(answer(name) for name in POINTS))
    for kind in kinds:
        one = made(kind, notebook, course, folder / "mate.ipynb")
        nbformat.write(one, folder / f"{kind}.ipynb")
    for mate in ("a_mate", "mate", "z_mate"):
        nbformat.write(submissions.made("right", notebook), folder / f"{mate}.ipynb")
