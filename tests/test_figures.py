"""Every picture draws, on odd values too, and keeps the course's grammar."""

import warnings

import numpy as np
import pytest

from course_lib import figures

ODD = [
    " sky",
    "\n",
    "\t",
    "",
    "$x$",
    "_^\\{",
    "😀",
    "தமிழ்",
    b"\xf0\x9f",
    "\x00",
    "a" * 300,
]
DRAWN = {
    "bars": lambda: figures.next_token_bars(ODD, np.linspace(0.9, 0, len(ODD)), "t"),
    "one bar": lambda: figures.next_token_bars(["a"], [0.0], "nothing"),
    "strip": lambda: figures.token_strip([ODD, ODD[:3]], ["one", "two"], "t"),
    "empty strip": lambda: figures.token_strip([[]], ["none"], "t"),
    "bright strip": lambda: figures.token_strip([ODD], strength=[0.1] * len(ODD)),
    "long strip": lambda: figures.token_strip([["ab"] * 1000], title="t"),
    "ruler": lambda: figures.ruler(["a", "b"], [0.7, 0.3], [0.1, 0.9], "t"),
    "curves": lambda: figures.curves({"a": ([1, 2], [3, 4])}, "x", "y", "t", (3, "l")),
    "log curves": lambda: figures.curves({"a": ([1, 2], [3, 4])}, "x", "y", log=True),
    "named bars": lambda: figures.bars(["a", "b"], [1.0, 2.0], "t"),
    "loop": figures.the_loop,
    "flow": lambda: figures.flow({"a": (0, 0, "x", "w", "")}, [], "t"),
    "map": lambda: figures.course_map("07"),
    "patches": lambda: figures.patches(np.eye(8), 4, "t"),
    "chunks": lambda: figures.chunks(np.sin(np.arange(80.0)), 10, "t"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axis = DRAWN[name]()
        data = figures.png(axis)
    assert data.startswith(b"\x89PNG") and len(data) > 1500
    assert axis.figure.get_facecolor()[:3] == pytest.approx(
        (0.086, 0.094, 0.114), abs=0.01
    )


def test_every_picture_is_drawn_here():
    """A figures.py function that no test draws is a hole."""
    import inspect
    from pathlib import Path

    own = [n for n, f in inspect.getmembers(figures, inspect.isfunction)
           if f.__module__ == figures.__name__ and f.__annotations__.get("return")
           and not n.startswith("_")]  # fmt: skip
    source = Path(__file__).read_text()
    helpers = {"card", "blank", "png", "drawable", "visible", "plain"}
    missing = [n for n in own if n not in helpers and f"figures.{n}" not in source]
    assert not missing


def test_the_same_picture_twice_is_the_same_bytes():
    assert figures.png(figures.the_loop()) == figures.png(figures.the_loop())


@pytest.mark.parametrize(
    ("token", "drawn"),
    [
        (" sky", "·sky"),
        ("a\n", "a⏎"),
        (b"\xe0\xae", "⟨E0 AE⟩"),
        (b" a", "·a"),
        ("த", "⟨U+0BA4⟩"),
        ("\x00", "⟨U+0000⟩"),
    ],
)
def test_visible_tokens(token, drawn):
    assert figures.visible(token) == drawn


def test_bars_start_at_zero_and_the_first_is_bright():
    axis = figures.next_token_bars(["a", "b"], [0.5, 0.2])
    assert [bar.get_x() for bar in axis.patches] == [0, 0]
    first, second = (bar.get_facecolor() for bar in axis.patches)
    assert sum(first[:3]) > sum(second[:3]) + 0.5


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("colour", [figures.TEXT, figures.MUTED, *figures.SERIES])
def test_colours_can_be_read_on_the_card(colour):
    contrast = (luminance(colour) + 0.05) / (luminance(figures.GROUND) + 0.05)
    assert contrast > 4.5
