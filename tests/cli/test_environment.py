"""The environment and the command line, with nothing installed but Python."""

import os
import re
import signal
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from course_lib import __main__ as command_line
from course_lib.cli import doctor, environment, lab
from course_lib.errors import Problem
from course_lib.files import ROOT, colab


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python with nothing installed, not even pip."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return environment.python_of(folder)


# As if there were no .venv: a command stays in the Python that it was started with.
HERE = {**os.environ, command_line.NESTED: "1"}


def run(*words, cwd=ROOT, env=HERE):
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, env=env
    )


@pytest.mark.parametrize("command", ["", "lab", "test", "doctor", "refresh", "bench"])
def test_help_needs_nothing_installed(bare, command):
    words = [command, "--help"] if command else ["--help"]
    done = run(bare, "-m", "course_lib", *words)
    assert done.returncode == 0 and "usage:" in done.stdout


def test_doctor_on_a_bare_python_names_the_remedy(bare, tmp_path):
    done = run(bare, "-m", "course_lib", "doctor")
    assert done.returncode == 1
    assert "not installed: torch" in done.stdout
    assert "python -m course_lib lab" in done.stdout


def test_what_needs_packages_runs_in_the_venv_where_they_are(bare, monkeypatch):
    words = ["-m", "course_lib", "assignment", "list"]
    refused = run(bare, *words)
    assert refused.returncode == 1 and "course_lib test 06" in refused.stderr
    monkeypatch.setattr(command_line, "missing", lambda packages: ["torch"])
    monkeypatch.setattr(command_line, "venv_python", lambda: bare)
    ran = []
    monkeypatch.setattr(
        command_line, "attended", lambda line, cwd, env: ran.append((line, cwd, env))
    )
    command_line.main(["assignment", "list"])
    [(line, cwd, env)] = ran
    assert line == [bare, *words] and cwd is None  # paths count from where we are
    assert str(ROOT) in env["PYTHONPATH"].split(os.pathsep)


def test_unknown_lesson_is_one_sentence(bare):
    done = run(bare, "-m", "course_lib", "test", "99")
    assert done.returncode != 0
    assert "There is no lesson '99'" in done.stderr and "Traceback" not in done.stderr


def test_lesson_numbers_may_drop_the_nought():
    assert lab.lesson_number("1") == lab.lesson_number("01") == "01"


def test_an_old_python_is_told_what_to_do():
    with pytest.raises(Problem, match=r"Python 3\.9; the course needs 3\.11"):
        environment.check_python((3, 9))
    assert environment.check_python((3, 11)) == ""
    assert "newer than the tested" in environment.check_python((3, 15))


def test_a_second_start_installs_nothing(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(environment, "run", lambda words, why: ran.append(why))
    monkeypatch.setattr(
        environment, "install_torch", lambda python: ran.append("torch")
    )
    folder = tmp_path / ".venv"
    folder.mkdir()
    environment.make("lab", folder)
    assert ran == [
        "Making .venv",
        "torch",
        "Installing the packages",
        "Linking course_lib",
    ]
    ok = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(environment.subprocess, "run", lambda *a, **k: ok)
    environment.make("lab", folder)
    assert len(ran) == 4
    environment.make("test", folder)  # what tests need is more
    assert len(ran) == 8


def test_changed_requirements_install_again(tmp_path):
    for name in [*environment.NEEDED["test"], "pyproject.toml"]:
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    before = environment.fingerprint("lab", tmp_path)
    assert before == environment.fingerprint("lab", ROOT)
    with open(tmp_path / "requirements.txt", "a") as file:
        file.write("# changed\n")
    assert environment.fingerprint("lab", tmp_path) != before


def test_a_failed_install_leaves_no_stamp(monkeypatch, tmp_path):
    def fail(words, why):
        raise Problem(why)

    monkeypatch.setattr(environment, "run", fail)
    with pytest.raises(Problem):
        environment.make("lab", tmp_path)
    assert not environment.is_ready("lab", tmp_path)


def opened_by(monkeypatch, *words) -> tuple[list, dict]:
    """What `lab` starts, and in which environment."""
    opened = []
    monkeypatch.setattr(lab, "attended", lambda words, env: opened.append((words, env)))
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(lab.subprocess, "run", lambda words: done)
    monkeypatch.setattr(lab.copies, "prepare", lambda: ["03: a newer one"])
    monkeypatch.setattr(lab.copies, "start_anew", lambda number: f"{number} is fresh")
    command_line.main(["lab", "--no-install", "--no-browser", *words])
    return opened[0]


def test_lab_opens_the_learners_copy_and_prints_one_address(monkeypatch, capsys):
    words, env = opened_by(monkeypatch)
    said = capsys.readouterr().out
    assert words[3] == ROOT / "my_lessons" / "00_next_token.ipynb"
    addresses = re.findall(r"http://\S+", said)
    assert len(addresses) == 1 and env["JUPYTER_TOKEN"] in addresses[0]
    assert addresses[0].split("?")[0].endswith("/lab/tree/00_next_token.ipynb")
    assert not [word for word in words if env["JUPYTER_TOKEN"] in str(word)]
    assert "03: a newer one" in said
    (settings,) = Path(env["JUPYTER_CONFIG_PATH"]).glob("labconfig/page_config.json")
    assert "announcements" in settings.read_text()  # no pop-up that asks about news


def test_lab_opens_the_lesson_that_is_asked_for(monkeypatch, capsys):
    assert opened_by(monkeypatch, "3")[0][3].name == "03_attention.ipynb"
    words, _ = opened_by(monkeypatch, "--fresh", "05")
    assert words[3].name == "05_transformer.ipynb"
    assert "05 is fresh" in capsys.readouterr().out
    with pytest.raises(Problem, match="There is no lesson '99'"):
        command_line.main(["lab", "--no-install", "99"])


def test_a_port_that_is_taken_is_not_offered():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert lab.free_port(port) != port
    with pytest.raises(Problem, match="--port"):
        lab.free_port(99_999)


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["--processes", "3"], ["-n3", "--dist=loadfile", "--no-loadscope-reorder"]),
        (["--processes", "1"], []),
        (["05", "--processes", "3"], []),  # one lesson is one file
    ],
)
def test_whole_files_are_run_side_by_side(monkeypatch, words, wanted):
    ran = []
    monkeypatch.setattr(lab, "attended", lambda words, env: ran.append(words))
    monkeypatch.setattr(lab.subprocess, "run", lambda words, check: None)
    command_line.main(["test", "--no-install", *words])
    told = [w for w in ran[0] if w.startswith(("-n", "--dist", "--no-")) and w != "-n"]
    assert [w for w in told if "nbval" not in w] == wanted


def ran_by(monkeypatch, *words) -> list[str]:
    """What `test` hands to pytest."""
    ran = []
    monkeypatch.setattr(lab, "attended", lambda words, env: ran.append(words))
    monkeypatch.setattr(lab.subprocess, "run", lambda words, check: None)
    command_line.main(["test", "--no-install", *words])
    return ran[0]


def test_every_lesson_runs_once_and_the_longest_first(monkeypatch):
    words = ran_by(monkeypatch)
    ran = [Path(word) for word in words if word.endswith(".ipynb")]
    assert sorted(ran) == sorted((ROOT / "notebooks").glob("*.ipynb"))
    seconds = [lab.seconds_of(path) for path in ran]
    assert seconds == sorted(seconds, reverse=True) and min(seconds) > 0
    assert words.index(str(ran[-1])) < words.index("tests")


def test_thorough_tests_are_for_all_and_rest(monkeypatch):
    assert "--thorough=one" in ran_by(monkeypatch)
    assert "--thorough=all" in ran_by(monkeypatch, "--all")
    rest = ran_by(monkeypatch, "--rest")
    assert "--thorough=only" in rest
    assert not [word for word in rest if word.endswith(".ipynb")]
    with pytest.raises(SystemExit):  # one of the two
        ran_by(monkeypatch, "--all", "--rest")


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [lab.calm(n)["COURSE_THREADS"] for n in (1, 2, 3, 8, 9)] == list("84211")


def test_every_requirement_is_pinned_with_a_reason():
    for name in environment.NEEDED["test"]:
        for line in (ROOT / name).read_text().splitlines():
            if not line.startswith("#"):
                package, _, reason = line.partition("#")
                assert "==" in package and len(reason.strip()) > 8, line


@pytest.mark.parametrize("code", [0, 1])
def test_colab_keeps_its_own_packages_and_says_what_could_not_be_had(monkeypatch, code):
    ran = []

    def pip(words, **more):
        ran.append(words)
        return subprocess.CompletedProcess(words, code)

    monkeypatch.setattr(environment.subprocess, "run", pip)
    monkeypatch.setattr(colab, "missing", lambda: ["torch", "numpy", "gguf"])
    if code:
        with pytest.raises(
            Problem, match=r"install gguf\. Run this cell again"
        ) as caught:
            colab.install_on_colab()
        assert caught.value._render_traceback_() == [f"Problem: {caught.value}"]
    else:
        assert colab.install_on_colab() == ["gguf"]
    assert "--no-deps" in ran[0] and not set(ran[0]) & colab.LEFT_TO_COLAB


def test_doctor_warns_of_other_versions(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "tested_set", lambda: {"numpy": "0.0.1"})
    assert doctor.packages()
    assert "tested: 0.0.1" in capsys.readouterr().out


def test_doctor_takes_a_build_of_the_tested_version_for_it(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "tested_set", lambda: {"torch": "2.0.0"})
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.0.0+cpu")
    assert doctor.packages()
    assert "all 1 packages are the tested ones" in capsys.readouterr().out


def test_doctor_deletes_a_damaged_file_and_says_so(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_bytes(b"damaged")
    assert not doctor._verified(path, "0" * 64, "a file", doctor.BAD)
    assert not path.exists() and "doctor --fetch" in capsys.readouterr().out


def test_doctor_warns_when_the_device_computes_wrong(monkeypatch, capsys):
    from course_lib import devices

    monkeypatch.setattr(devices, "self_test", lambda chosen: 0.5)
    doctor.computes()
    assert "COURSE_DEVICE=cpu" in capsys.readouterr().out


def test_doctor_passes_here():
    done = run(sys.executable, "-m", "course_lib", "doctor")
    assert done.returncode == 0, done.stdout
    assert "Lessons can run." in done.stdout and "SHA-256" in done.stdout


def test_a_console_without_the_marks_does_not_fail(bare):
    words = [bare, "-m", "course_lib", "doctor"]
    odd = {**HERE, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, env=odd)
    assert done.returncode == 1 and b"not installed" in done.stdout


def test_a_program_that_answers_ctrl_c_is_waited_for(tmp_path):
    """JupyterLab asks "Shut down?" on the first Ctrl-C; it must live to hear the answer."""
    child = "import signal, time; signal.signal(2, lambda *a: None); print('up', flush=True); "
    child += "time.sleep(1.5); print('answered', flush=True)"
    code = f"import sys; from course_lib.cli.environment import attended; attended([sys.executable, '-c', {child!r}])"
    group = {"start_new_session": True, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **group)
    assert parent.stdout.readline() == "up\n"
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.stdout.read() == "answered\n" and parent.wait() == 0
