"""All that is to be known about a graphics card, in one script of a few minutes.

    python -m tests.gpu [--minutes 8] [--out report.md]

It runs doctor, the tests marked `gpu`, the rows of README's table of scales that fit
(a few steps of each), and every lesson by nbval, on the card. Each part gets what is left
of the time; one that doesn't end is cut and called so. The report is there at any moment.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from course_lib.files import ROOT

STEPS, WARM = 20, 5  # of each scale; the first ones are slow and do not count
PYTEST = [sys.executable, "-m", "pytest", "-q"]
PARTS = {
    "doctor": [sys.executable, "-m", "course_lib", "doctor"],
    "tests marked gpu": [*PYTEST, "-m", "gpu", "tests"],
    "scales": [sys.executable, "-m", "tests.gpu", "--scales"],
    "lessons": [
        *PYTEST, "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300",
        "-n4", "--dist=loadfile", "--durations=20", "notebooks",
    ],
}  # fmt: skip


def report(out: Path, minutes: float, parts: dict[str, list[str]]) -> bool:
    """Run the parts in turn, write what each printed; whether all ended well in time."""
    end, well = time.monotonic() + 60 * minutes, True
    lines = ["# What a card does", "", time.strftime("%Y-%m-%d"), ""]
    for name, words in parts.items():
        start = time.monotonic()
        said, code = run(words, max(1, end - start))
        took = time.monotonic() - start
        how = {0: "ended well", None: "was cut: the time was up"}
        verdict = f"{name} {how.get(code, f'failed ({code})')} after {took:.0f} s"
        print(verdict, flush=True)
        lines += [f"## {verdict}", "", "```", *said.splitlines()[-60:], "```", ""]
        out.write_text("\n".join(lines), encoding="utf-8")
        well = well and code == 0
    return well


def run(words: list[str], seconds: float) -> tuple[str, int | None]:
    """What a command printed, and its code; None if it was cut, with all it had started."""
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env={"COURSE_SCALE": "cpu", **os.environ},
    )
    try:
        return process.communicate(timeout=seconds)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return process.communicate()[0], None


def scales() -> None:
    """Time a few steps of each scale that fits, beside README's estimate."""
    from course_lib import devices, scales

    at = devices.best()
    print(devices.describe(at), devices.precision(at))
    for scale in scales.EVERY:
        if scale.memory <= devices.memory(at) / 2**30:
            step = seconds_a_step(scale, at)
            foreseen = scales.here(scale.shape, scale.run, at)
            print(
                f"{scale.name}: {1e3 * step:.1f} ms a step, so "
                f"{step * scale.run.steps / 60:.1f} minutes in all; foreseen {foreseen:.1f}",
                flush=True,
            )


def seconds_a_step(scale, at) -> float:
    """The time of a training step of a scale, on random ids of 96 kinds."""
    from dataclasses import replace

    import torch

    from course_lib.devices import generator
    from course_lib.gpt import GPT
    from course_lib.train import train

    ids = torch.randint(96, (20_000,), generator=generator(0))
    model = GPT(replace(scale.shape, vocabulary=96), generator=generator(0))
    config = replace(scale.run, steps=STEPS, warmup=1, every=WARM)
    clock = []

    def look(history) -> None:
        clock.append(history.seconds)

    train(model, ids, ids[:2_000], config, at, watch=look, bar=False)
    return (clock[-1] - clock[0]) / (STEPS - WARM)


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path("gpu_report.md"))
    parser.add_argument(
        "--scales", action="store_true", help="only these, to the screen"
    )
    args = parser.parse_args()
    if args.scales:
        scales()
        return 0
    from course_lib import devices

    if devices.best().type == "cpu" and "COURSE_DEVICE" not in os.environ:
        print("There is no card here. (COURSE_DEVICE=cpu tries the script itself.)")
        return 2
    return 0 if report(args.out, args.minutes, PARTS) else 1


if __name__ == "__main__":
    sys.exit(main())
