"""Every picture draws, on odd values too, and keeps the course's grammar."""

import inspect
import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from course_lib import figures
from course_lib.figures import (
    charts,
    clusters,
    diagrams,
    grids,
    parts,
    points,
    senses,
    tokens,
)

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
    "pages": lambda: figures.pages(
        {"a $x$": "😀 தமிழ் $x$ _ \\ %", "b": "w " * 900}, "t", 1
    ),
    "a page": lambda: figures.pages({"only": ""}),
    "one bar": lambda: figures.next_token_bars(["a"], [0.0], "nothing"),
    "strip": lambda: figures.token_strip([ODD, ODD[:3]], ["one", "two"], "t"),
    "empty strip": lambda: figures.token_strip([[]], ["none"], "t"),
    "bright strip": lambda: figures.token_strip([ODD], strength=[0.1] * len(ODD)),
    "strip with a key": lambda: figures.token_strip(
        [ODD], strength=[0.5] * len(ODD), key="$surprise", ends=("0", "5 nats")
    ),
    "long strip": lambda: figures.token_strip([["ab"] * 1000], title="t"),
    "ruler": lambda: figures.ruler(["a", "b"], [0.7, 0.3], [0.1, 0.9], "t"),
    "curves": lambda: figures.curves({"a": ([1, 2], [3, 4])}, "x", "y", "t", (3, "l")),
    "log curves": lambda: figures.curves({"a": ([1, 2], [3, 4])}, "x", "y", log=True),
    "no marks": lambda: figures.curves({"a": ([1, 2], [3, 4])}, "x", "y", marks=False),
    "powers": lambda: figures.powers(
        {"$a": ([1e3, 1e9], [2, 3]), "b": ([5, 5e8], [1e-3, 1e20])},
        "x",
        "y",
        "t",
        {"$p_": (3e4, 2), "q": ([1, 2], [3, 4])},
        mark=(1e5, "$m"),
    ),
    "powers across only": lambda: figures.powers(
        {"a": ([1, 2], [-1, 0])}, "x", "y", log_up=False
    ),
    "only points": lambda: figures.powers({}, "x", "y", "t", {"a": (1e3, 2e9)}),
    "dots": lambda: figures.dots({"$a": [0, 1], "b": [2]}, "x", "y", "t", {"$l": 0.5}),
    "named bars": lambda: figures.bars(["a", "$b$"], [1.0, 2000.0], "t"),
    "nothing in bars": lambda: figures.bars(["a"], [0.0], "t", bright=0),
    "outcomes": lambda: figures.outcomes(
        {"05.softmax": [7, 2, 1, 0], "$": [0, 0, 0, 0]},
        list("abcd"),
        ["x" * 90, ""],
        "t",
    ),
    "loop": figures.the_loop,
    "flow": lambda: figures.flow({"a": (0, 0, "x", "w", "")}, [], "t"),
    "map": lambda: figures.course_map("07"),
    "machine": figures.machine,
    "arrows": lambda: figures.arrows(
        {"$a$": (0, 0), "b": (1, 2)}, [("$a$", "b", "_$x")], [("b", 1, "c$")], "t"
    ),
    "scores": lambda: figures.scores(
        np.ones(2), -np.eye(2), ["$a$", "b"], ["score 1", "$2"], [1, 0], "t", "√$"
    ),
    "one place": lambda: figures.arrows({"a": (0, 0)}, []),
    "neurons": lambda: figures.neurons(
        np.ones(2), np.eye(2), np.zeros(2), -np.eye(2), ["$q$", "q" * 90], "ab", "t"
    ),
    "no neuron": lambda: figures.neurons(
        np.zeros(64), np.zeros((0, 64)), np.zeros(0), np.zeros((64, 0)), [], []
    ),
    "shared channels": lambda: figures.heads(np.arange(24.0).reshape(4, 6), 3, "t"),
    "wide heads": lambda: figures.heads(np.full((2, 48), -0.123), 12),
    **{part: lambda part=part: figures.machine((part,), "t") for part in parts.MACHINE},
    "matrices": lambda: figures.matrices(
        {"one-hot": [[0, 1]], "$m$": [[1, -2], [np.nan, 4]], "v": [[3, 4.0]]}, "×=", "t"
    ),
    "large matrix": lambda: figures.matrices({"m": np.eye(40)}, title="t"),
    "zeros": lambda: figures.matrices({"m": np.zeros((2, 3))}),
    "noted rows": lambda: figures.matrices(
        {"m": np.eye(2, 8), "n": np.eye(3)}, "→", notes={"m": ["$1$\nx", "b"]}
    ),
    "map of words": lambda: figures.word_map(
        {"a": ODD[:8], "b": ["x", "x"]}, np.random.default_rng(0).normal(size=(10, 2))
    ),
    "map in 3-D": lambda: figures.word_map(
        {"a": ["x", "y"]}, np.eye(3)[:2], "t", angle=40
    ),
    "one point": lambda: figures.word_map({"a": ["x"]}, np.zeros((1, 2))),
    "histogram": lambda: figures.histogram(
        {"a": np.arange(9.0), "b": np.ones(3)}, "x", "t", limits=(0, 9)
    ),
    "tiles": lambda: figures.tiles(
        ["a", "$b$", "c" * 16],
        np.linspace(-2, 3, 12).reshape(3, 4),
        np.array([1.0, -4, 0]),
        ["$x", "y" * 30, "·", ""],
        [0.0, 0.2, 0.6, 1.0],
        (1, 2),
        [0.1, 0.0, 0.9],
        "$t",
    ),
    "tiles of one": lambda: figures.tiles(
        ["a"], np.zeros((1, 1)), np.zeros(1), ["a", "b"], [1.0, 0.0], (0, 0), [1.0]
    ),
    "lens": lambda: figures.lens_grid(
        ODD, [ODD, ODD[::-1]], np.full((2, len(ODD)), 0.5), ["one", "two"], "t"
    ),
    "fan": lambda: figures.fan(np.array([[1, 0], [0, 0.01]]), ["$a$", "b"], "t"),
    "tree map": lambda: figures.tree_map({"up": 5, "key": 3, "tiny": 1e-4}, "t"),
    "one tile": lambda: figures.tree_map({"up": 1}),
    "heads": lambda: figures.head_map(np.eye(5, 3), "t", ring=(1, 1)),
    "no heads": lambda: figures.head_map(np.zeros((2, 2))),
    "strips of strength": lambda: figures.token_strip(
        [["a", "b"], ["c"]], strength=[[0, 1], [0.5]]
    ),
    "lines that end together": lambda: figures.curves(
        {"a": ([1, 2], [3, 4]), "b": ([1, 2], [1, 4])}, "x", "y", zero=False
    ),
    "who looks at whom": lambda: figures.attention_grid(
        ODD, np.tri(len(ODD)) / np.arange(1, len(ODD) + 1)[:, None], "t"
    ),
    "two who look": lambda: figures.attention_grid(["a", " b"], [[1, 0], [0.9, 0.1]]),
    "fifty who look": lambda: figures.attention_grid([" a"] * 50, np.eye(50), "t"),
    "nobody looks": lambda: figures.attention_grid([], [], "none"),
    "calculation": lambda: figures.graph(
        [("w", 2, 3), ("$x$", -1.5, None), ("×", -3, 1)], [(0, 2, 3), (1, 2, None)], "t"
    ),
    "used twice": lambda: figures.graph(
        [("y", 3, 6), ("×", 9, 1)], [(0, 1, 3), (0, 1, 3)]
    ),
    "one number": lambda: figures.graph([("y", 3, None)], []),
    "two kinds": lambda: figures.regions(
        np.eye(3, 2), np.array([1, -1, 1]), np.outer([1, 0, -1], [1, 2]), (0, 1, 0, 2)
    ),
    "one kind": lambda: figures.regions(
        np.eye(3, 2), np.ones(3), np.zeros((3, 3)), (0, 1, 0, 2), "t"
    ),
    "loss landscape": lambda: figures.landscape(
        np.arange(3.0),
        np.arange(4.0),
        np.ones((4, 3)).cumsum(0),
        np.array([[0, 1], [1e30, -1e300]]),
        ("x", "y"),
        "t",
    ),
    "a shift": lambda: figures.shift(
        np.array([0.9, 0.1, 0.0]), np.array([0.5, 0.5, 0.0]), {1: " $a$"}, "t"
    ),
    "tree": lambda: figures.tree(
        ODD[:6], [0.6, 0.4, 1.0, 0.5, 1e-9, 0], [None, None, 0, 1, 1, 1], "t", [0, 2]
    ),
    "one branch": lambda: figures.tree(["$x$"], [0.0], [None]),
    "dialled": lambda: figures.dialled(
        ODD, np.linspace(0.3, 0, len(ODD)), np.eye(len(ODD))[0], "t"
    ),
    "patches": lambda: figures.patches(np.eye(8), 4, "t"),
    "chunks": lambda: figures.chunks(np.sin(np.arange(80.0)), 10, "t"),
    "roofline": lambda: figures.roofline(
        {"$a$": (1e15, 1e12), "b": (1e9, 1e9)}, {"$x": (0.1, 1e7), "y": (1e3, 1e9)}, "t"
    ),
    "bare roof": lambda: figures.roofline({"a": (1e12, 1e9)}, {}),
    "holdings": lambda: figures.holdings(
        {"$a$": {"x": 1200.0, "$y": 0.001}, "b": {"x": 0.0, "$y": 3.0}}, "MB", "t"
    ),
    "nothing held": lambda: figures.holdings({"a": {"x": 0.0}}, "MB"),
    "ring": lambda: figures.ring([[1, 2], [2, 1]], [1, 0], "$t"),
    "ring of one": lambda: figures.ring([[1]], []),
    "alignment": lambda: figures.alignment(
        ODD, ODD[:4], np.eye(len(ODD), 4), "$t", [0, -1, 2, *[-1] * (len(ODD) - 3)]
    ),
    "bare alignment": lambda: figures.alignment(["a"], ["b"], np.zeros((1, 1))),
    "drawings": lambda: figures.drawings(
        np.zeros((9, 4, 4)), ["$x"] * 9, "t", [True] * 8 + [False]
    ),
    "one drawing": lambda: figures.drawings(np.ones((1, 4, 4)), ["a"]),
    "named": lambda: figures.named(
        np.eye(8), {"$a": 0.9, "b": 0.1}, np.eye(4) / 4, "$t", (0, 7)
    ),
    "barely named": lambda: figures.named(np.eye(8), {"a": 1.0}),
    "spectrogram": lambda: figures.spectrogram(
        np.eye(20), 1.0, 1_200, "$t", ["do", "$", "-"]
    ),
    "silence": lambda: figures.spectrogram(np.zeros((5, 9)), 0.5, 400),
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
    """A picture that no test draws is a hole."""
    own = [n for n, f in inspect.getmembers(figures, inspect.isfunction)
           if f.__module__.startswith(figures.__name__) and f.__annotations__.get("return")
           and not n.startswith("_")]  # fmt: skip
    source = Path(__file__).read_text()
    helpers = {"card", "blank", "png", "drawable", "visible", "plain", "shortened"}
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


def test_a_dollar_is_drawn_and_begins_no_formula():
    axis = figures.next_token_bars(["$x$"], [1.0])
    assert axis.get_yticklabels()[0].get_text() == r"\$x\$"


def test_the_index_names_every_picture():
    for module in (charts, clusters, diagrams, grids, parts, points, senses, tokens):
        for name, thing in inspect.getmembers(module, inspect.isfunction):
            if thing.__module__ == module.__name__ and not name.startswith("_"):
                assert vars(figures)[name] is thing, name


def light(artist) -> float:
    """How bright a shape is filled, from 0 to 3."""
    return sum(artist.get_facecolor()[:3])


def words(axis) -> list[str]:
    """All texts on an axis and on its card."""
    return [text.get_text() for text in [*axis.texts, *axis.figure.texts]]


@pytest.mark.parametrize("p", [0.18, 1.0])
def test_next_tokens_run_from_zero_to_one_whatever_the_largest(p):
    axis = figures.next_token_bars(["a", "b"], [p, 0.0], "t")
    bars, wholes = axis.patches[:2], axis.patches[2:]
    assert [bar.get_x() for bar in axis.patches] == [0, 0, 0, 0]
    assert [bar.get_width() for bar in bars] == [p, 0]
    assert [bar.get_width() for bar in wholes] == [1, 1]
    assert light(bars[0]) > light(bars[1]) + 0.5 > light(wholes[0]) + 0.5
    axis.figure.canvas.draw()
    for number in axis.texts:  # inside the picture
        assert number.get_window_extent().x1 < axis.figure.bbox.x1


@pytest.mark.parametrize(
    ("bright", "lit"),
    [(None, [0, 1, 2]), (2, [2]), (-1, [2]), ([0, 1], [0, 1]), ([], [])],
)
def test_bars_are_bright_where_the_title_points(bright, lit):
    axis = figures.bars(["a", "b", "c"], [3.0, 2.0, 1.0], bright=bright)
    assert [i for i, bar in enumerate(axis.patches) if light(bar) > 1.7] == lit


def test_few_points_are_dots_and_many_are_a_line():
    few, many = np.arange(40), np.arange(41)
    for marks, dots in ((None, ["o", "None"]), (True, "oo"), (False, ["None"] * 2)):
        axis = figures.curves({"a": (few, few), "b": (many, many)}, "", "", marks=marks)
        assert [line.get_marker() for line in axis.lines] == list(dots)


def test_each_matrix_has_a_scale_of_its_own_but_those_compared():
    parts = {"a": [[4.0, np.nan]], "b": [[0.0, 1.0]], "c": [[-2.0]]}
    alone = figures.matrices(parts).images
    assert [image.get_clim() for image in alone] == [(-4, 4), (-1, 1), (-2, 2)]
    together = figures.matrices(parts, same=["b", "c"]).images
    assert [image.get_clim() for image in together] == [(-4, 4), (-2, 2), (-2, 2)]
    with pytest.raises(
        ValueError, match="No matrix is called 'd': name some of a, b, c"
    ):
        figures.matrices(parts, same=["d"])


def test_notes_stand_at_the_ends_of_their_rows_and_touch_nothing():
    notes = {"a": ["mean 3.1\nvar. 49", "second"], "b": ["one", "two"]}
    axis = figures.matrices({"a": np.eye(2, 8), "b": np.eye(2, 8)}, "→", notes=notes)
    axis.figure.canvas.draw()
    first, second = [image.get_window_extent() for image in axis.images]
    for name, left, right in (("a", first, second.x0), ("b", second, axis.bbox.x1)):
        for row, note in enumerate(notes[name]):
            (text,) = [text for text in axis.texts if text.get_text() == note]
            box, place = text.get_window_extent(), (row + 0.5) / 2
            assert left.x1 < box.x0 < box.x1 < right
            middle = left.y1 - place * left.height
            assert (box.y0 + box.y1) / 2 == pytest.approx(middle, abs=4)


def test_a_roof_bends_where_its_two_limits_meet():
    axis = figures.roofline({"a": (1e12, 1e10), "b": (1e11, 1e9)}, {"x": (2, 1e9)})
    for line, (peak, bandwidth) in zip(axis.lines, [(1e12, 1e10), (1e11, 1e9)]):
        x, y = line.get_data()
        assert np.allclose(y, np.minimum(peak, bandwidth * x))
    assert [line.get_data()[1][0] for line in axis.lines[2:]] == [1e9]
    assert axis.lines[0].get_color() != axis.lines[1].get_color()


def test_holdings_are_cut_into_parts_that_add_up():
    axis = figures.holdings(
        {"a": {"x": 3.0, "y": 1.0}, "b": {"x": 2.0, "y": 2.0}}, "MB"
    )
    wide = [round(bar.get_width(), 6) for bar in axis.patches[:4]]
    assert wide == [3, 1, 2, 2] and [bar.get_x() for bar in axis.patches[:4]] == [
        0,
        3,
        0,
        2,
    ]
    assert words(axis).count("4 MB") == 2 and {"x", "y"} <= set(words(axis))


def test_a_ring_says_what_is_summed_and_marks_what_is_sent():
    axis = figures.ring([[1, 2, 3], [3, 1, 2], [2, 3, 1]], [2, 0, 1])
    boxes = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    bright = [box.get_edgecolor() for box in boxes]
    assert [bright.index(colour) for colour in set(bright)] and len(boxes) == 9
    assert sum(colour != bright[0] for colour in bright) == 3
    assert words(axis).count("its own") == words(axis).count("sum of 3") == 3
    assert light(boxes[0]) < light(boxes[1]) < light(boxes[2])


def test_a_lens_prints_the_probability_in_each_cell_and_has_a_key():
    axis = figures.lens_grid("ab", ["cd", "ef"], np.array([[0.1, 0.25], [1, 0]]), "xy")
    drawn = words(axis)
    assert [word for word in drawn if "." in word] == ["0.10", "0.25", "1.00", "0.00"]
    assert drawn[-3:] == ["probability", "0", "1"]
    cells = list(axis.patches)
    assert sorted(cells, key=light)[-1] is cells[2]


def test_the_key_of_a_strip_names_what_brightness_means():
    bare = figures.token_strip(["ab"], strength=[0, 1])
    assert "probability" not in words(bare)
    axis = figures.token_strip(["ab"], strength=[0, 1], key="surprise", ends=("0", "5"))
    assert words(axis)[-3:] == ["surprise", "0", "5"]
    shades = list(axis.figure.artists)
    assert (
        len(shades) == 6 and sorted(shades, key=light) == shades
    )  # from dark to bright
    (boxes,) = axis.collections
    ends = [sum(fill[:3]) for fill in boxes.get_facecolors()]
    assert ends == [sum(shade.get_facecolor()[:3]) for shade in (shades[0], shades[-1])]
    assert axis.figure.get_figheight() > bare.figure.get_figheight()


def test_tiles_have_the_areas_of_their_amounts_and_do_not_overlap():
    shares = [0.4, 0.3, 0.2, 0.07, 0.03]
    placed = charts._tiles(shares, 0, 0, 7.6, 3.6)
    areas = [wide * tall / (7.6 * 3.6) for _, _, wide, tall in placed]
    assert areas == pytest.approx(shares)
    grid = np.stack(
        np.meshgrid(np.linspace(0.01, 7.59, 60), np.linspace(0.01, 3.59, 30))
    )
    x, y = grid.reshape(2, -1)
    inside = sum(
        (x > a) & (x < a + wide) & (y > b) & (y < b + tall)
        for a, b, wide, tall in placed
    )
    assert inside.max() == 1 and (inside == 1).mean() > 0.99


def test_words_on_a_map_do_not_lie_on_each_other():
    words = [f"word{i}" for i in range(12)]
    points = np.random.default_rng(0).normal(size=(12, 2)) * 0.05
    axis = figures.word_map({"a": words}, points)
    axis.figure.canvas.draw()
    boxes = [
        text.get_window_extent() for text in axis.texts if text.get_text() in words
    ]
    assert len(boxes) == 12
    for i, box in enumerate(boxes):
        for other in boxes[:i]:
            shared = box.intersection(box, other)
            assert shared is None or shared.height < 4


def test_a_word_on_a_map_sees_where_the_words_before_it_went():
    words = ["first", "other", "third"]
    points = np.array([[0, 0], [0, 1e-4], [1e-4, 0], [0, -1], [0, 1]])
    axis = figures.word_map({"a": [*words, "low", "high"]}, points)
    axis.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in axis.texts if t.get_text() in words]
    assert len(boxes) == 3
    for box, other in itertools.combinations(boxes, 2):
        shared = box.intersection(box, other)
        assert shared is None or min(shared.width, shared.height) < 4


def test_names_of_lines_that_end_together_are_apart():
    axis = figures.curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [1, 4])}, "x", "y")
    first, second = [
        text for text in axis.texts if text.get_text().strip() in ("a", "b")
    ]
    axis.figure.canvas.draw()
    assert abs(first.get_window_extent().y0 - second.get_window_extent().y0) > 10


def test_names_of_lines_stand_in_the_lines_order_and_inside_the_picture():
    ends = {"least": 0.0, "most": 0.04, "middle": 0.02}
    axis = figures.curves({n: ([1, 2], [4, y]) for n, y in ends.items()}, "x", "y")
    axis.figure.canvas.draw()
    boxes = {t.get_text(): t.get_window_extent() for t in axis.texts}
    low, middle, high = (boxes[name] for name in ("least", "middle", "most"))
    assert axis.bbox.y0 - 4 < low.y0 and low.y1 < middle.y1 - 10 < high.y1 - 20


def test_names_of_dots_do_not_lie_on_each_other():
    before = np.array([0.30, 0.302, 0.304, 0.094])
    after = before * np.array([1.2, 1.21, 1.2, 0.9])
    axis = figures.shift(before, after, {0: "one", 1: "two", 2: "three"})
    axis.figure.canvas.draw()
    named = [t for t in axis.texts if t.get_text() in ("one", "two", "three")]
    boxes = [text.get_window_extent() for text in named]
    assert len(boxes) == 3
    for box, other in itertools.combinations(boxes, 2):
        shared = box.intersection(box, other)
        assert shared is None or min(shared.width, shared.height) < 4


def test_a_name_of_a_dot_sees_where_the_one_before_it_went():
    before = np.array([0.3, 0.30001, 0.094])
    after = before * np.array([1.2, 1.2, 0.9])
    axis = figures.shift(before, after, {0: "one", 1: "two"})
    axis.figure.canvas.draw()
    named = [t for t in axis.texts if t.get_text() in ("one", "two")]
    box, other = (text.get_window_extent() for text in named)
    shared = box.intersection(box, other)
    assert shared is None or min(shared.width, shared.height) < 4


def test_words_on_the_map_of_the_course_fit_their_boxes():
    axis = figures.course_map("11")
    axis.figure.canvas.draw()
    boxes = [patch.get_window_extent() for patch in axis.patches[:17]]
    words = [text.get_window_extent() for text in axis.texts[::2]]
    for box, word in zip(boxes, words, strict=True):
        assert box.x0 + 4 < word.x0 and word.x1 < box.x1 - 4


def test_a_bare_space_is_called_space():
    axis = figures.shift(np.array([0.5, 0.5]), np.array([0.7, 0.3]), {0: " ", 1: " a"})
    assert {"space", "·a"} <= {text.get_text() for text in axis.texts}


def test_dots_have_the_areas_of_their_weights():
    axis = figures.attention_grid(["a", "b"], [[1, 0], [0.25, 0.75]])
    _, dots = axis.collections
    areas = dict(zip(map(tuple, dots.get_offsets().tolist()), dots.get_sizes()))
    assert areas[0, 1] / areas[0, 0] == pytest.approx(0.25)
    assert areas[1, 1] / areas[0, 0] == pytest.approx(0.75)
    assert (1, 0) not in areas  # no position looks at a later one


def test_weights_of_all_heads_are_no_grid():
    with pytest.raises(ValueError, match="Choose one layer and one head"):
        figures.attention_grid(["a", "b"], np.ones((3, 2, 2)))


def test_long_names_are_shortened():
    assert figures.shortened("a" * 300) == "a" * 15 + "…"
    assert figures.shortened("a" * 16) == "a" * 16


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


def test_a_graph_has_its_wider_arrow_where_more_comes_back():
    nodes = [("w", 2, 12), ("x", 3, 8), ("×", 6, 4)]
    axis = figures.graph(nodes, [(0, 2, 12), (1, 2, -8)])
    arrows = [p for p in axis.patches if isinstance(p, FancyArrowPatch)]
    assert arrows[0].get_linewidth() > arrows[1].get_linewidth()
    assert arrows[0].get_edgecolor() != arrows[1].get_edgecolor()  # above, below zero


def test_a_graph_runs_from_left_to_right_and_no_box_lies_on_another():
    arrows = [(0, 3, 1), (1, 3, 1), (3, 4, 1), (2, 4, 1), (4, 5, 1), (0, 5, 1)]
    places = diagrams._spread_out(6, arrows)
    assert all(places[a][0] < places[b][0] for a, b, _ in arrows)
    assert len(set(places)) == len(places)


def machine_words(lit=()) -> dict[str, list]:
    """The texts in the machine, by their brightness: a word → its artists."""
    found = {}
    for text in figures.machine(lit).texts:
        found.setdefault(text.get_text().replace("\n", " "), []).append(text)
    return found


def test_the_machine_names_its_parts_once_and_has_two_norms():
    counts = {word: len(texts) for word, texts in machine_words().items()}
    named = {"tokens", "embedding", "positions", "attention", "MLP", "final norm"}
    named |= {"unembedding", "softmax", "next token", "residual stream", "block"}
    assert {word: counts[word] for word in named} == dict.fromkeys(named, 1)
    assert counts["norm"] == 2 and "× L" in counts


@pytest.mark.parametrize("part", parts.BOXES)
def test_a_part_of_the_machine_is_lit_and_the_others_are_dim_and_readable(part):
    said = parts.SAID.get(part, part).replace("\n", " ")
    named = {parts.SAID.get(name, name).replace("\n", " ") for name in parts.BOXES}
    for word, texts in machine_words((part,)).items():
        for text in texts:
            if word in named:
                bright = text.get_color() == figures.GROUND  # dark letters on light
                assert bright == (word == said)
                assert bright or text.get_color() == figures.MUTED
    ground, _, letters = parts._shades(part, {part})
    assert (luminance(ground) + 0.05) / (luminance(letters) + 0.05) > 4.5
    ground, _, letters = parts._shades(part, {"other"})
    assert (luminance(letters) + 0.05) / (luminance(ground) + 0.05) > 4.5


def test_a_lit_block_is_its_four_parts_and_all_else_is_dim():
    lit = [
        w
        for w, t in machine_words(("block",)).items()
        if t[0].get_color() == figures.GROUND
    ]
    assert lit == ["norm", "attention", "MLP"]
    assert parts._lit("mlp") == {"mlp"}  # one name without its brackets


def test_with_nothing_lit_the_parts_of_the_machine_are_alike():
    colours = {t.get_color() for texts in machine_words().values() for t in texts}
    assert colours == {figures.TEXT}


def test_an_unknown_part_of_the_machine_is_answered_with_the_known():
    with pytest.raises(ValueError, match="has no part 'head'"):
        figures.machine(("mlp", "head"))


def test_the_residual_stream_is_one_straight_line_from_end_to_end():
    axis = figures.machine()
    (line,) = [line for line in axis.lines if line.get_linewidth() > 3]
    start, end = line.get_xdata()
    assert line.get_ydata()[0] == line.get_ydata()[1]
    assert (start, end) == (
        parts.BOXES["embedding"][0][0],
        parts.BOXES["unembedding"][0][0],
    )
    pluses = [patch for patch in axis.patches if isinstance(patch, Circle)]
    assert len(pluses) == 3  # positions, attention, MLP
    assert all(start < plus.center[0] < end for plus in pluses)


@pytest.mark.parametrize("lit", ["", "block", *parts.BOXES, "residual stream"])
def test_words_of_the_machine_fit_and_do_not_touch(lit):
    axis = figures.machine((lit,) if lit else (), "t")
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    for box, other in itertools.combinations(boxes, 2):
        assert not box.overlaps(other)
    for text, box in zip(axis.texts, boxes):
        assert axis.bbox.x0 < box.x0 and box.x1 < axis.bbox.x1
        assert text.get_fontsize() >= 9
        words = {parts.SAID.get(name, name): name for name in parts.BOXES}
        if text.get_text() in words:  # inside its own box, with room to spare
            wide = parts.BOXES[words[text.get_text()]][0][2] * figures.style.DPI
            assert box.width < wide - 10


OF_THE_MLP = (  # x, up, bias, down: the first fires 0.5, the second doesn't
    np.array([1.0, 0.0, 0.5]),
    np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    np.array([-0.5, -0.5]),
    np.array([[2.0, 0.0], [4.0, 6.0], [0.0, 6.0]]),
)


def test_neurons_say_what_they_are_asked_and_what_they_answer():
    axis = figures.neurons(*OF_THE_MLP, ["Jordan?", "Curie?"], ["sport", "physics"])
    drawn = {text.get_text(): text for text in axis.texts}
    for word in ("Jordan?", "sport", "1 − 0.5", "0.5 ×"):
        assert drawn[word].get_color() == figures.TEXT  # it fires
    for word in ("Curie?", "physics", "0.5 − 0.5", "0 ×"):
        assert drawn[word].get_color() == figures.MUTED
    x, up, bias, down = OF_THE_MLP
    said = axis.images[-1].get_array()
    assert list(said[0]) == pytest.approx(down @ np.maximum(up @ x + bias, 0))
    assert len(axis.images) == 1 + 2 * 2 + 1  # x, rows and columns, the sum


def test_words_and_numbers_of_neurons_do_not_touch():
    long = ["Michael Jordan plays?"] * 2
    big = [part * 1.234 for part in OF_THE_MLP]
    axis = figures.neurons(*big, long, long, "t")
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    strips = [image.get_window_extent() for image in axis.images]
    for box, other in itertools.combinations(boxes, 2):
        assert not box.overlaps(other)
    for box in boxes:
        assert axis.bbox.x0 < box.x0 and box.x1 < axis.bbox.x1
        for strip in strips:  # inside it, or beside it
            middle = (box.x0 + box.x1) / 2
            outside = box.x1 < strip.x0 or box.x0 > strip.x1
            assert outside or strip.x0 < middle < strip.x1


def test_neurons_of_other_shapes_are_refused_in_a_sentence():
    x, up, bias, down = OF_THE_MLP
    with pytest.raises(ValueError, match=r"down should have the shape \(3, 2\)"):
        figures.neurons(x, up, bias, down.T, "ab", "cd")
    with pytest.raises(ValueError, match="2 questions and 1 answers"):
        figures.neurons(x, up, bias, down, "ab", "c")


def test_every_number_is_found_again_under_its_head():
    axis = figures.heads(np.arange(24.0).reshape(4, 6), 3)
    places = {}
    for text in axis.texts:
        if text.get_text().isdigit():
            places.setdefault(int(text.get_text()), []).append(text.get_position())
    assert sorted(places) == list(range(24))
    headings = [t for t in axis.texts if t.get_text().startswith("head ")]
    for number, ((x, y), (x1, y1)) in places.items():
        assert y == y1 and x < x1  # at its position still
        head = number % 6 // 2
        for place in (x, x1):
            (nearest,) = [t for t in headings if abs(t.get_position()[0] - place) < 0.9]
            assert nearest.get_text() == f"head {head}"
    assert {"(T, C) = (4, 6)", "(H, T, D) = (3, 4, 2)"} <= set(words(axis))


def test_channels_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match="7 channels can't be split into 2 heads"):
        figures.heads(np.zeros((2, 7)), 2)


KING = {"man": (0, 0), "woman": (0.3, 0.45), "king": (1, 0.1), "there": (1.3, 0.55)}


def test_arrows_of_one_label_have_one_colour_and_a_circle_is_round():
    steps = [("man", "woman", "step"), ("king", "there", "step"), ("man", "king", "b")]
    axis = figures.arrows(KING, steps, [("king", 0.4, "nearer")])
    drawn = [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]
    first, second, third = [arrow.get_edgecolor() for arrow in drawn]
    assert first == second != third
    (ring,) = [patch for patch in axis.patches if isinstance(patch, Circle)]
    assert ring.center == KING["king"] and ring.radius == 0.4
    axis.figure.canvas.draw()
    box = ring.get_window_extent()
    assert box.width == pytest.approx(box.height, rel=0.01)
    assert axis.bbox.x0 < box.x0 and axis.bbox.y0 < box.y0 and box.y1 < axis.bbox.y1
    for text in axis.texts:
        assert text.get_window_extent().x1 < axis.figure.bbox.x1


def test_an_arrow_to_nowhere_is_refused():
    with pytest.raises(
        ValueError, match="No point is called 'queen': name some of man"
    ):
        figures.arrows(KING, [("king", "queen", "")])
    with pytest.raises(ValueError, match="No point is called 'x'"):
        figures.arrows(KING, [], [("x", 1, "")])


@pytest.mark.parametrize("turn", range(0, 360, 15))
def test_names_at_arrows_do_not_touch_and_shares_run_from_zero_to_one(turn):
    way = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
    told = "score −192.0 / √256 = −12.0", "score 1"
    axis = figures.scores(
        1.5 * way, np.array([way, -way]), "xy", told, [0.25, 0.75], "", "√9"
    )
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts if text.get_text()]
    for box, other in itertools.combinations(boxes, 2):
        assert not box.overlaps(other)
    for box in boxes:
        assert axis.bbox.x0 < box.x0 and box.x1 < axis.bbox.x1
        assert axis.bbox.y0 < box.y0 and box.y1 < axis.bbox.y1
    whole, share, *_ = [p.get_width() for p in axis.patches if isinstance(p, Rectangle)]
    assert share == pytest.approx(0.25 * whole)


def test_a_branch_is_as_wide_as_its_text_is_likely():
    axis = figures.tree("abcd", [0.5, 0.25, 0.5, 0.5], [None, None, 0, 0])
    widths = [branch.get_linewidth() for branch in axis.patches]
    assert widths == pytest.approx([11, 5.5, 5.5, 5.5])
    told = [text.get_text() for text in axis.texts]
    assert told.count("= 0.2500") == 3  # the ends: b, ac and ad


def test_ends_of_a_tree_have_a_row_each_and_others_are_amid_their_children():
    assert tokens._tree_lines([None, None, 0, 0, 1]) == [0.5, 2, 0, 1, 2]


def test_what_a_dial_cuts_off_is_named_out():
    axis = figures.dialled(["a", "b"], [0.6, 0.4], [1.0, 0.0])
    told = [text.get_text() for text in axis.texts]
    assert told == [" 1.000", " out"]
    assert [bar.get_width() for bar in axis.patches] == [1.0, 0.0, 0.6, 0.4]


def test_a_dot_above_the_line_has_grown():
    axis = figures.shift(np.array([0.5, 0.5]), np.array([0.75, 0.25]), {0: "a"})
    grown, shrunk = axis.lines[:2]
    assert grown.get_ydata() == pytest.approx([1.5])
    assert shrunk.get_ydata() == pytest.approx([0.5])


def test_text_below_curves_bears_what_a_model_babbles():
    babble = "One\x1d day\n" + "".join(map(chr, range(32))) + " 🦊 " * 99
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axis = figures.curves({"a": ([0, 1], [2, 1])}, "x", "y", below=babble)
        assert figures.png(axis).startswith(b"\x89PNG")
    assert axis.figure.texts and "day" in "".join(
        t.get_text() for t in axis.figure.texts
    )


# Powers -------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [2e3, 1e6, 1e12])
def test_names_at_a_logarithmic_axis_fit_and_are_in_place(end):
    series = {"a long name of a line": ([1e3, end], [1.0, 2.0])}
    dots_at = {"a point": (end, 1.5)}
    axis = figures.powers(series, "x", "y", "t", dots_at)
    figures.png(axis)  # draws
    for text in [*axis.texts]:
        box = text.get_window_extent()
        assert box.x1 <= axis.figure.bbox.x1, text.get_text()
    (named,) = [text for text in axis.texts if text.get_text() == "a point"]
    spot = axis.transData.transform((end, 1.5))
    box = named.get_window_extent()
    assert min(abs(box.x0 - spot[0]), abs(box.x1 - spot[0])) < 25
    assert abs((box.y0 + box.y1) / 2 - spot[1]) < 60


@pytest.mark.parametrize(
    ("low", "high", "some"),
    [
        (1, 40, ["1", "2", "5", "10", "20"]),
        (1e3, 1e6, ["1 k", "10 k", "100 k", "1 M"]),
        (1e9, 1e12, ["1 B", "1 T"]),
        (1e22, 1e24, ["10²³", "2·10²²"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round_and_readable(low, high, some):
    axis = figures.powers({"a": ([low, high], [1, 2])}, "x", "y")
    told = [tick.get_text() for tick in axis.get_xticklabels()]
    assert set(some) <= set(told) and len(told) <= 12
    places = axis.get_xticks()
    assert all(axis.get_xlim()[0] <= place <= axis.get_xlim()[1] for place in places)


def test_of_several_points_with_one_name_the_last_is_named():
    axis = figures.powers({}, "x", "y", points={"p": ([1, 10, 100], [1, 2, 3])})
    figures.png(axis)
    (name,) = axis.texts
    spot = axis.transData.transform((100, 3))
    assert abs(name.get_window_extent().x0 - spot[0]) < 25
    assert len(axis.lines[0].get_xdata()) == 3


def test_the_first_points_are_bright_and_the_others_are_not():
    axis = figures.powers({}, "x", "y", points={"a": (1, 1), "b": (10, 2)})
    colours = [line.get_color() for line in axis.lines]
    assert colours == [figures.TEXT, figures.MUTED]


def test_a_square_marks_the_word_that_is_translated_and_none_where_there_is_none():
    axis = figures.alignment(["a", "b"], ["x", "y"], np.full((2, 2), 0.5), "", [1, -1])
    (square,) = [p for p in axis.patches if isinstance(p, Rectangle)]
    assert square.get_x() < 1 < square.get_x() + square.get_width()
    assert square.get_y() < 0 < square.get_y() + square.get_height()


def test_weights_of_another_shape_line_nothing_up():
    with pytest.raises(ValueError, match="Choose one sentence"):
        figures.alignment(["a", "b"], ["x"], np.zeros((4, 2, 1)))


def test_a_drawing_that_was_named_wrongly_is_marked():
    axis = figures.drawings(np.zeros((2, 4, 4)), ["ring", "cross"], "", [True, False])
    assert words(axis) == ["ring", "✗ cross"]
