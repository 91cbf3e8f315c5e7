"""Read the command line: every command and its options. Needs nothing but Python.

Beside its options a command brings `run`, where the function is that does it, and
`packages`: "needed", "wanted" (it does with less), or "" where it needs Python only.
"""

from __future__ import annotations

import argparse
import os

from course_lib.files import path

GOES_ON = "Stopped. Nothing is lost: the same command goes on from here."


TITLE = "A language model that writes"  # of a page


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m course_lib",
        description="Next Token: how large language models work, by building one.",
        epilog="Each command has its own --help.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, about, run="", packages="needed", stopped="Stopped."):
        one = commands.add_parser(name, help=about, description=about)
        one.set_defaults(
            run=f"course_lib.cli.{run}", packages=packages, stopped=stopped
        )
        return one

    lab = command(
        "lab",
        "Make .venv, install, fetch the real model, open your copy of a lesson.",
        "lab:lab",
        "",
        GOES_ON,
    )
    lab.add_argument("lesson", nargs="?", help="its number, such as 03 (00)")
    lab.add_argument(
        "--fresh",
        metavar="LESSON",
        help="start a lesson anew; the copy that you worked in is kept beside it",
    )
    lab.add_argument("--port", type=int, default=8888, help="JupyterLab's port (8888)")
    lab.add_argument("--no-browser", action="store_true", help="print the address only")
    lab.add_argument(
        "--no-open",
        action="store_true",
        help="make all ready and stop: for VS Code and other editors",
    )

    test = command(
        "test", "Install, then run the tests and every lesson.", "lab:test", "", GOES_ON
    )
    test.add_argument("lesson", nargs="?", help="one lesson's number, such as 01")
    more = test.add_mutually_exclusive_group()
    more.add_argument(
        "--all", action="store_true", help="all of browser, Colab and nbgrader too"
    )
    more.add_argument(
        "--rest", action="store_true", help="only what --all adds to a plain test"
    )
    cores = min(os.cpu_count() or 1, 4)
    test.add_argument(
        "--processes", type=int, default=cores, help=f"tests at a time ({cores})"
    )
    for one in (lab, test):
        one.add_argument(
            "--no-install", action="store_true", help="use this Python as it is"
        )

    add_train(
        command(
            "train",
            "Train a small GPT on a text, with checkpoints.",
            "commands:run_train",
        )
    )
    sample = command("sample", "Let a trained checkpoint write.", "commands:run_sample")
    sample.add_argument("--checkpoint", required=True, help="a run's folder, or a file")
    sample.add_argument("--prompt", default="", help="how the text begins")
    sample.add_argument("--length", type=int, default=200, help="tokens to write (200)")
    sample.add_argument(
        "--weights",
        choices=("float32", "bfloat16", "int8", "fastest"),
        default="float32",
        help="float32 writes the same on every machine; fastest: by a trial (float32)",
    )
    chat = command(
        "chat", "Talk with the real model of lesson 00.", "commands:run_chat"
    )
    chat.add_argument(
        "--weights",
        choices=("float32", "bfloat16", "int8"),
        help="none: the fastest here, by a trial; name one for the same talk each time",
    )
    for one in (sample, chat):
        one.add_argument("--device", help="cpu, cuda or mps; none: the best here")
        one.add_argument(
            "--seed", type=seed, default=0, help="of the random choice (0)"
        )
        one.add_argument(
            "--temperature",
            type=float,
            default=0.8,
            help="0: always the likeliest (0.8)",
        )
        one.add_argument("--top-k", type=int, help="choose among the k likeliest")
        one.add_argument(
            "--top-p", type=float, help="among the likeliest that hold this share"
        )

    page = command(
        "page",
        "Put a trained model on one HTML page that runs it, offline.",
        "commands:run_page",
    )
    page.add_argument("checkpoint", help="a run's folder, or a file")
    page.add_argument(
        "-o", "--out", required=True, help="the page, such as my_model.html"
    )
    page.add_argument("--title", default=TITLE, help=f"the page's title ({TITLE})")
    page.add_argument("--prompt", default="", help="how its first text begins")
    page.add_argument(
        "--precision",
        choices=("float16", "float32"),
        default="float16",
        help="of the weights; float32 is exact and twice as large (float16)",
    )

    doctor = command(
        "doctor",
        "Say what this machine has and what is missing.",
        "doctor:run",
        "wanted",
    )
    doctor.add_argument("--fetch", action="store_true", help="download what is missing")
    command(
        "fetch",
        "Download what lessons need, once.",
        "doctor:run_fetch",
        stopped=GOES_ON,
    )

    command(
        "progress",
        "Say what you passed and guessed, and what comes next.",
        "progress:run",
        "",
    )

    command(
        "claims",
        "Say what became of each claim: verdict, number, cell.",
        "claims:run_claims",
    )
    command(
        "glossary", "Say what each word of the course means.", "claims:run_glossary"
    )

    refresh = command(
        "refresh",
        "For authors: run lessons and save them with fresh outputs.",
        "authors:run_refresh",
    )
    refresh.add_argument("lesson", nargs="*", help="numbers, such as 00 01; none: all")

    add_assignment(
        command(
            "assignment",
            "Lessons as graded assignments, for teachers.",
            "assignment:run",
            stopped=GOES_ON,
        )
    )

    address = command(
        "address",
        "For a fork: put its GitHub address into every link and first cell.",
        "authors:run_address",
        "",
    )
    address.add_argument("url", help="such as https://github.com/me/next-token")

    site = command(
        "site",
        "Write all lessons as web pages, for any browser.",
        "authors:run_site",
        stopped="Stopped. What was there before is as it was.",
    )
    site.add_argument("out", metavar="OUT", help="a new folder, or a site of before")

    bench = command(
        "bench", "Measure speed against other libraries.", "authors:run_bench"
    )
    bench.add_argument(
        "name",
        nargs="*",
        help="tokenizer, pretrained, autograd, training, record, writing, grading; none: all",
    )
    bench.add_argument(
        "--full",
        action="store_true",
        help="longer: more rounds, and what each ingredient buys",
    )
    return top


def add_train(train) -> None:
    """The options of `train`, by what they are of."""
    train.epilog = (
        "Without options it takes about three minutes. Ctrl-C stops it, and the same "
        "command with --resume goes on."
    )
    text = train.add_argument_group("the text")
    text.add_argument(
        "--data",
        default="tinyworld",
        metavar="TEXT",
        help="a text file of yours, or tinyworld (made here, the default), shakespeare "
        "(fetched once), documentation (Python's own)",
    )
    text.add_argument(
        "--lines",
        action="store_true",
        help="each line is a text for itself: what the model reads at once begins where "
        "a line begins",
    )
    text.add_argument(
        "--tokens",
        choices=("characters", "bpe", "gpt2"),
        default="bpe",
        help="what it is cut into: characters, pieces of words that are learnt from it "
        "(bpe, the default), or GPT-2's",
    )
    text.add_argument(
        "--vocabulary",
        type=int,
        default=1_024,
        metavar="N",
        help="how many pieces bpe learns at most (1024)",
    )
    run = train.add_argument_group("the model and its training")
    run.add_argument(
        "--scale",
        choices=("tiny", "cpu", "t4", "a100", "h100"),
        help="how large both are: half a minute, minutes on a CPU, or for a GPU of that "
        "name; the README has a table (none: cpu, with a model as small as tiny's for a "
        "text of under half a million characters)",
    )
    run.add_argument(
        "--fast",
        action="store_true",
        help="lesson 08's fast recipe: a better model (FastGPT) and optimiser (Muon); "
        "a lower loss from as many steps, each of which takes half as long again",
    )
    run.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="how often the weights are changed; none: the scale's, or fewer where these "
        "would read the text more than ten times",
    )
    run.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="pieces of text read in a step; none: the scale's",
    )
    run.add_argument(
        "--context",
        type=int,
        metavar="N",
        help="tokens in such a piece, the most that the model can look back on; none: "
        "the scale's",
    )
    run.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help="how far a step goes (the learning rate at its height); none: the scale's",
    )
    run.add_argument(
        "--muon",
        type=float,
        metavar="X",
        help="the same for Muon, where it is used; 0: AdamW for all weights",
    )
    run.add_argument(
        "--seed", type=seed, help="of all that is random: the same again (0)"
    )
    kept = train.add_argument_group("what is kept and said")
    kept.add_argument(
        "--out", metavar="FOLDER", help="the run's folder (runs/TEXT-SCALE)"
    )
    kept.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint in the folder, as if nothing had happened",
    )
    kept.add_argument(
        "--every",
        type=int,
        metavar="N",
        help="steps between two looks at text that it is not trained on, each with a "
        "checkpoint; the last two are kept, and the best",
    )
    kept.add_argument(
        "--json", action="store_true", help="say each look in a line of JSON; no bar"
    )
    machine = train.add_argument_group("the machine")
    machine.add_argument(
        "--device", help="cpu, cuda or mps; none: the best that is here"
    )
    machine.add_argument(
        "--accumulate",
        type=int,
        default=1,
        metavar="N",
        help="read each step's pieces in so many parts, where memory is short (1)",
    )
    machine.add_argument(
        "--compile",
        action="store_true",
        help="let torch.compile work for a minute first: for long runs on a GPU",
    )
    machine.add_argument(
        "--shard",
        action="store_true",
        help="under torchrun, spread the weights over its processes (FSDP2)",
    )


def add_assignment(assignment) -> None:
    """The options of `assignment`."""
    actions = assignment.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name, about):
        return actions.add_parser(name, help=about, description=about)

    action("list", "Say which lessons there are, with exercises, points and minutes.")
    release = action(
        "release", "Write a lesson as an assignment: nbgrader's, students'."
    )
    release.add_argument("lesson", help="the lesson's number, such as 05")
    release.add_argument("out", metavar="OUT", type=place, help="a folder")
    grade = action(
        "grade", "Grade a folder of notebooks, each in a process of its own."
    )
    grade.add_argument(
        "folder",
        metavar="SUBMISSIONS",
        type=place,
        help="NAME.ipynb or NAME/….ipynb for each student",
    )
    grade.add_argument(
        "table",
        metavar="GRADES.CSV",
        type=place,
        help="the table to write; .json and .jsonl are written beside it",
    )
    grade.add_argument("--lesson", help="its number; none: what the checks say")
    grade.add_argument(
        "--lanes", type=lanes, default=0, help="graded at the same time (one a core)"
    )
    grade.add_argument(
        "--unsafe",
        action="store_true",
        help="grade without bubblewrap: a submission can read and write what you can",
    )
    for one, none in ((release, ""), (grade, None)):
        one.add_argument(
            "--seed",
            default=none,
            help="a class's name: adds questions of its own"
            + " (what the notebooks say)" * (one is grade),
        )
        one.add_argument(
            "--private",
            default="",
            type=lambda written: written and place(written),
            help="a Python file with further checks",
        )
    report = action("report", "Say how a class did, exercise by exercise.")
    feedback = action("feedback", "Write a page for each student: points and words.")
    for one in (report, feedback):
        one.add_argument(
            "table", metavar="GRADES.CSV", type=place, help="what grade wrote"
        )
    feedback.add_argument("out", metavar="OUT", type=place, help="a folder")


def place(written: str) -> str:
    """A path of the command line, from the root: "~" is the person's home."""
    return os.path.abspath(path(written))


def lanes(text: str) -> int:
    """How many are graded at the same time; argparse says so if it is no number for it."""
    if not (text.isdecimal() and int(text) <= 256):
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is no number of lanes: give 1, 2 or more; 0 is one a core"
        )
    return int(text)


def seed(text: str) -> int:
    """A seed from the command line; argparse says so if it is none."""
    if not (text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is no seed: give a whole number from 0 to 4294967295"
        )
    return int(text)
