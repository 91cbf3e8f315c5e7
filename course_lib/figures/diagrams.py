"""Boxes and arrows: how parts are joined, and what flows between them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_lib.figures.style import (
    EMPTY,
    EXTRA,
    KEY,
    MLP,
    MUTED,
    QUERY,
    TEXT,
    blank,
    card,
    plain,
)


def flow(
    boxes: dict[str, tuple],
    arrows: Sequence[tuple[str, str]],
    title: str = "",
    height: float = 2.6,
    width: float = 0.8,
) -> Axes:
    """Boxes joined by arrows, on a grid of whole numbers.

    boxes: name → (x, y, text, colour, small second line). arrows: pairs of names.
    width: of a box, where 1 is the distance between two columns.
    """
    axis = blank(card(8.0, height, title))
    half, tall = width / 2, 0.29
    xs, ys, texts, *_ = zip(*boxes.values())
    inches = 7.6 * width / (max(xs) - min(xs) + width + 0.04)  # inside a box
    size = min(9.5, 72 * (inches - 0.12) / (0.62 * max(map(len, texts))))
    for x, y, text, colour, small in boxes.values():
        style = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": EMPTY}
        style |= {"edgecolor": colour, "linewidth": 1.6}
        corner = (x - half, y - tall)
        axis.add_patch(FancyBboxPatch(corner, width, 2 * tall, **style))
        centre = {"ha": "center", "va": "center"}
        lift = 0.1 if small else 0
        axis.text(x, y + lift, text, color=TEXT, fontsize=size, **centre)
        axis.text(x, y - 0.14, small, color=MUTED, fontsize=8, **centre)
    for start, end in arrows:
        (x0, y0), (x1, y1) = boxes[start][:2], boxes[end][:2]
        reach = (half, 0) if y0 == y1 else (0, tall)
        step = np.array([np.sign(x1 - x0), np.sign(y1 - y0)]) * (np.array(reach) + 0.01)
        ends = (np.array([x0, y0]) + step, np.array([x1, y1]) - step)
        line = {"color": MUTED, "linewidth": 1.4, "mutation_scale": 12}
        line |= {"shrinkA": 0, "shrinkB": 0}
        axis.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", **line))
    axis.set_xlim(min(xs) - half - 0.02, max(xs) + half + 0.02)
    axis.set_ylim(min(ys) - 0.36, max(ys) + 0.36)
    return axis


def the_loop() -> Axes:
    """How a language model writes: predict, choose, append, repeat."""
    boxes = {
        "text": (0, 1, "text so far", TEXT, ""),
        "model": (1, 1, "model", MLP, "reads all of it"),
        "chances": (2, 1, "probabilities", KEY, "one for each token"),
        "choose": (2, 0, "choose one", QUERY, "greedy, or by chance"),
        "append": (0, 0, "append it", EXTRA, ""),
    }
    names = [*boxes, "text"]
    title = "A language model writes by guessing the next token, over and over"
    return flow(boxes, list(zip(names, names[1:])), title)


COURSE = {  # lesson → place, words; the top row is what happens to a text
    "01": (1, 2, "tokens"),
    "02": (2, 2, "embeddings"),
    "03": (3, 2, "attention"),
    "04": (4, 2, "MLP"),
    "05": (5, 2, "transformer"),
    "00": (6, 2, "next token"),
    "06": (0.5, 1, "counting"),
    "07": (1.6, 1, "backprop"),
    "08": (2.7, 1, "training"),
    "09": (3.8, 1, "sampling"),
    "10": (4.9, 1, "scaling"),
    "11": (1.0, 0, "modern LLMs"),
    "12": (2.1, 0, "assistant"),
    "13": (3.2, 0, "inside"),
    "14": (4.3, 0, "many GPUs"),
    "15": (5.4, 0, "beyond text"),
}


def course_map(here: str) -> Axes:
    """The sixteen lessons; `here`, such as "01", is the bright one."""
    boxes = {"text": (0, 2, "text", MUTED, "")}
    for lesson, (x, y, words) in COURSE.items():
        boxes[lesson] = (x, y, words, QUERY if lesson == here else MUTED, lesson)
    row = ["text", "01", "02", "03", "04", "05", "00"]
    title = "Sixteen lessons: the machine, how it learns, what people do with it"
    return flow(boxes, list(zip(row, row[1:])), title, 3.4, 0.84)


def graph(
    nodes: Sequence[tuple], arrows: Sequence[tuple], title: str = "", rows: int = 0
) -> Axes:
    """A calculation from left to right: in each box a value, under it its gradient.

    nodes: (name, value, gradient), in the order in which they are made; a gradient of
    None isn't written. arrows: (operand, result, what comes back along it), places in
    nodes; the more comes back, the wider. Where nothing comes back yet (None), the arrow
    is thin and points onward. rows: fewest to make room for.
    """
    places = _spread_out(len(nodes), arrows)
    across = min(6.6 / max(1, *(x for x, _ in places)), 1.9)  # inches between columns
    tall = max(rows - 1, *(y for _, y in places))
    axis = blank(card(8.0, 1.05 + (0.3 if title else 0) + 0.72 * tall, title))
    spots = [(across * x, -0.72 * y) for x, y in places]
    most = max((abs(back) for *_, back in arrows if back), default=1.0)
    drawn = [arrow[:2] for arrow in arrows]
    for i, (start, end, back) in enumerate(arrows):
        look = {"shrinkA": 0, "shrinkB": 0, "zorder": 1, "mutation_scale": 10}
        if back is None:
            look |= {"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2}
        else:
            look |= {"arrowstyle": "<|-", "color": _sign_colour(back)}
            look |= {"linewidth": 0.8 + 4.5 * abs(back) / most}
        same = drawn.count(drawn[i]) - 1  # used twice: two arrows, side by side
        lift = 0.18 * (drawn[:i].count(drawn[i]) - same / 2)
        (x0, y0), (x1, y1) = spots[start], spots[end]
        ends = (x0 + 0.53, y0 + lift), (x1 - 0.53, y1 + lift)
        axis.add_patch(FancyArrowPatch(*ends, **look))
    for (name, value, gradient), (x, y) in zip(nodes, spots):
        look = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": EMPTY}
        look |= {"edgecolor": MUTED, "linewidth": 1.2, "clip_on": False}
        axis.add_patch(FancyBboxPatch((x - 0.5, y - 0.16), 1.0, 0.32, **look))
        style = {"va": "center", "fontsize": 9.5}
        axis.text(x - 0.42, y, plain(name), color=MUTED, ha="left", **style)
        axis.text(x + 0.42, y, _signed(value), color=TEXT, ha="right", **style)
        if gradient is not None:
            told = f"grad {_signed(gradient)}"
            style |= {"ha": "right", "color": _sign_colour(gradient)}
            axis.text(x + 0.42, y - 0.28, told, **style)
    centre = across * max(x for x, _ in places) / 2
    axis.set_xlim(centre - 3.8, centre + 3.8)
    axis.set_ylim(-0.72 * tall - 0.42, 0.23)
    return axis


def _spread_out(count: int, arrows: Sequence[tuple]) -> list[tuple[float, float]]:
    """Where each node of a graph goes: (column, row). What is given has a row of its own;
    a result stands between its operands, one column to the right."""
    operands = [[a for a, b, *_ in arrows if b == node] for node in range(count)]
    users = [[b for a, b, *_ in arrows if a == node] for node in range(count)]
    columns, lines, row = [], [], 0
    for node in range(count):
        columns.append(max((columns[a] + 1 for a in operands[node]), default=0))
        if operands[node]:
            lines.append(float(np.mean([lines[a] for a in operands[node]])))
        else:
            lines.append(float(row))
            row += 1
    for node in range(count):  # what is given stands next to its first use
        if not operands[node] and users[node]:
            columns[node] = min(columns[user] for user in users[node]) - 1
    return list(zip(columns, lines))


def _signed(number: float) -> str:
    """A number in few letters, with a real minus."""
    return f"{number:.3g}".replace("-", "−")


def _sign_colour(number: float) -> str:
    """Blue for above zero, orange for below, as in every picture of signed numbers."""
    return MUTED if number == 0 else "#8FC1F0" if number > 0 else "#F0957A"
