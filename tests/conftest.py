"""What several test files share: the real LLM, loaded once."""

import os
import sys

import pytest
import torch

from course_lib import devices, pretrained
from course_lib.files import ROOT, cache, sources

torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "2")))


@pytest.fixture(autouse=True)
def no_shell_is_left():
    """IPython's shell takes the place of `__main__`, which starting processes need."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
    core = sys.modules.get("IPython.core.interactiveshell")
    if core and core.InteractiveShell.initialized():
        core.InteractiveShell.clear_instance()


def pytest_addoption(parser):
    """Tests in tests/slow are thorough: those marked `one` stand for them by default."""
    parser.addoption(
        "--thorough",
        choices=("one", "all", "only"),
        default="one",
        help="of tests/slow: what is marked `one`, all, or only what is not marked",
    )


def pytest_collection_modifyitems(config, items):
    """Leave out what `--thorough` leaves to another run."""
    asked = config.getoption("--thorough")

    def wanted(item):
        is_rest = "slow" in item.path.parts and not item.get_closest_marker("one")
        return {"one": not is_rest, "all": True, "only": is_rest}[asked]

    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if wanted(item)]


def pytest_runtest_setup(item):
    """Skip what is marked `gpu`, and say why, where the lessons would run on the CPU."""
    if item.get_closest_marker("gpu") and devices.best().type == "cpu":
        asked = os.environ.get("COURSE_DEVICE")
        pytest.skip(f"COURSE_DEVICE is {asked}" if asked else "no GPU on this machine")


@pytest.fixture(scope="session")
def llm():
    """The real LLM and its encoding, on the CPU."""
    return pretrained.smollm2()


@pytest.fixture(scope="session")
def transformers():
    """The outside oracle, or a skip that says why; in CI it must be there."""
    try:
        import transformers
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("transformers is missing in CI: see tests/requirements.txt")
        pytest.skip(
            "transformers is not installed: pip install -r tests/requirements.txt"
        )
    return transformers


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A cache folder with nothing in it, and no network."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    return cache.folder()


@pytest.fixture(scope="session")
def shut_in():
    """Whether students' code can be shut in here; in CI it must be."""
    from course_lib.grading import rooms

    reason = rooms.why_not()
    if reason and os.environ.get("CI") and sys.platform == "linux":
        pytest.fail(reason)
    return not reason


@pytest.fixture(scope="module")
def box(shut_in):
    """A sandbox that grades answers, started once a file; shut in, where that works."""
    yield from sandbox(roomy=shut_in)


@pytest.fixture(scope="module")
def open_box(shut_in):
    """The same; students' code may also read the course's files there."""
    yield from sandbox(roomy=shut_in, shown=(str(ROOT),))


def sandbox(**how):
    from course_lib.grading import marking

    box = marking.Sandbox(**how)
    box.wait()
    yield box
    box.close()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of its own that holds the real GGUF file, without a network."""
    source = cache.fetch(sources.SMOLLM2)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    (tmp_path / source.name).symlink_to(source)
    return tmp_path


# Deliberately broken notebooks: test_cells.py shows that a run fails on them.
collect_ignore_glob = ["notebooks/broken/*", "grading/cases/*"]
