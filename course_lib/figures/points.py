"""Pictures of vectors and of planes: words as points, regions, landscapes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from course_lib.figures.style import (
    BEHIND,
    BORDER,
    DPI,
    EMPTY,
    GROUND,
    KEY,
    MONO,
    MUTED,
    QUERY,
    SANS,
    SERIES,
    SIGNED,
    TEXT,
    VALUE,
    blank,
    card,
    drawable,
    filled,
    plain,
    shared,
    spread,
    visible,
)


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (N, 3) seen from one side, turned by `angle` degrees: (N, 2)."""
    radians = np.deg2rad(angle)
    across = points[:, 0] * np.cos(radians) + points[:, 2] * np.sin(radians)
    depth = points[:, 2] * np.cos(radians) - points[:, 0] * np.sin(radians)
    return np.stack([across, points[:, 1] + 0.25 * depth], axis=1)


def word_map(
    groups: dict[str, Sequence[str]],
    points: np.ndarray,
    title: str = "",
    angle: float | None = None,
) -> Axes:
    """Words as points: near means alike. Groups have a colour and a shape of their own.

    groups: name → words; points: a row (2 or 3 numbers) for each word, in that order.
    With three numbers, `angle` (degrees) turns the cloud.
    """
    axis = blank(card(8.0, 5.0, title))
    flat = points[:, :2] if angle is None else _turned(points, angle)
    marks, start = "os^Dv", 0
    words = [word for group in groups.values() for word in group]
    for i, (name, group) in enumerate(groups.items()):
        part = flat[start : start + len(group)]
        look = {"color": SERIES[i % 5], "marker": marks[i % 5], "linestyle": ""}
        axis.plot(part[:, 0], part[:, 1], markersize=6, label=name, **look)
        start += len(group)
    high, low = flat.max(0), flat.min(0)
    gap = (high - low) * 0.12 + 1e-6
    left = low[0] - gap[0]
    share = np.array([min(0.03 + 0.0115 * len(word), 0.5) for word in words])
    right = ((flat[:, 0] - share * left) / (1 - share)).max()  # room for every word
    axis.set_xlim(left, max(right, high[0] + 0.4 * gap[0]))
    axis.set_ylim(low[1] - gap[1], high[1] + 1.3 * gap[1])
    for word, point, place in zip(words, flat, spread(flat, words, axis)):
        style = {"color": TEXT, "fontsize": 9, "va": "center", "zorder": 4}
        axis.text(*place, plain(drawable(word, SANS)), **style)
        if abs(place[1] - point[1]) > 0.03 * (high - low)[1]:  # moved out of the way
            line = {"color": MUTED, "linewidth": 0.6, "zorder": 1}
            axis.plot([point[0], place[0]], [point[1], place[1]], **line)
    if len(groups) > 1:
        style = {"loc": "upper left", "fontsize": 8.5, "labelcolor": TEXT}
        legend = axis.legend(ncols=len(groups), frameon=False, **style)
        legend.set_bbox_to_anchor((-0.01, 1.03))
    return axis


def fan(vectors: np.ndarray, names: Sequence[str], title: str = "") -> Axes:
    """Arrows from one point, for vectors (N, 2): what a small model keeps of features."""
    axis = blank(card(8.0, 3.6, title))
    most = max(1.0, float(np.abs(vectors).max()))
    ring = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(ring), np.sin(ring), color=EMPTY, linewidth=1)
    for i, ((x, y), name) in enumerate(zip(vectors, names)):
        colour = SERIES[i % 5]
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.4}
        axis.annotate(
            "", (x, y), (0, 0), arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0}
        )
        length = np.hypot(x, y)
        if length > 0.15:
            style = {"color": colour, "fontsize": 10, "ha": "center", "va": "center"}
            out = 1 + 0.17 / length
            axis.text(x * out, y * out, plain(name), **style)
    axis.set_xlim(-2.6 * most, 2.6 * most)
    axis.set_ylim(-1.3 * most, 1.3 * most)
    axis.set_aspect("equal")
    return axis


def regions(
    points: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    limits: tuple[float, float, float, float],
    title: str = "",
) -> Axes:
    """Points (N, 2) of two kinds, and what a model says of every place on the map.

    labels (N) and scores (rows, columns): above 0 is one kind, below the other. limits:
    left, right, bottom and top of the map that scores cover.
    """
    axis = blank(card(8.0, 4.2, title))
    grid = [
        np.linspace(*limits[2 * i : 2 * i + 2], scores.shape[1 - i]) for i in (0, 1)
    ]
    sure = np.tanh(3 * scores / (float(np.abs(scores).max()) or 1.0))
    # Few bands, for a smooth shade would make a large file.
    bands = {"levels": np.linspace(-1, 1, 9), "cmap": SIGNED, "vmin": -3, "vmax": 3}
    axis.contourf(*grid, sure, antialiased=False, **bands)
    if scores.min() < 0 < scores.max():
        axis.contour(*grid, scores, levels=[0], colors=[TEXT], linewidths=1.4)
    for kind, colour, mark in ((labels > 0, KEY, "o"), (labels <= 0, VALUE, "^")):
        style = {"color": colour, "marker": mark, "s": 34, "linewidths": 0.6}
        axis.scatter(*points[kind].T, edgecolors=GROUND, **style)
    axis.set_xlim(limits[:2])
    axis.set_ylim(limits[2:])
    return axis


def landscape(
    x: np.ndarray,
    y: np.ndarray,
    height: np.ndarray,
    path: np.ndarray,
    names: tuple[str, str],
    title: str = "",
) -> Axes:
    """A loss over two weights as a map, darker is lower, and steps (N, 2) upon it.

    height (len(y), len(x)); names of what goes across and up. Steps that leave the map
    are cut off at its edge.
    """
    axis = card(8.0, 4.2, title, left=0.75, bottom=0.55)
    low, high = float(height.min()), float(height.max())
    levels = low + (high - low) * np.linspace(0, 1, 10) ** 2
    fills = [filled(share) for share in np.linspace(0, 1, 9)]
    axis.contourf(x, y, height, levels=levels, colors=fills, antialiased=False)
    inside = np.clip(path, -1e6, 1e6)
    look = {"color": QUERY, "linewidth": 1.4, "marker": "o", "markersize": 4}
    axis.plot(inside[:, 0], inside[:, 1], **look)
    axis.plot(*inside[0], "o", color=TEXT, markersize=8)
    style = {"xytext": (8, 8), "textcoords": "offset points", "color": TEXT}
    axis.annotate("start", inside[0], fontsize=9.5, **style)
    axis.set_xlim(x[0], x[-1])
    axis.set_ylim(y[0], y[-1])
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    axis.locator_params(axis="y", prune="lower")  # its label would touch the other's
    return axis


def shift(
    before: np.ndarray,
    after: np.ndarray,
    named: dict[int, str],
    title: str = "",
) -> Axes:
    """How each of many probabilities changes: a dot above the line has grown.

    before and after (V). named: places to write a name at; the first is the bright one.
    """
    axis = card(8.0, 4.2, title, left=0.9, bottom=0.6)
    before, after = np.maximum(before, 1e-30), np.maximum(after, 1e-30)
    times = after / before
    grown = times > 1
    for part, colour in ((grown, KEY), (~grown, VALUE)):
        look = {"color": colour, "marker": ".", "linestyle": "", "markersize": 2}
        axis.plot(before[part], times[part], **look)
    axis.axhline(1, color=TEXT, linewidth=1, linestyle=(0, (2, 3)))
    for i, place in enumerate(named):
        spot = (before[place], times[place])
        colour = TEXT if i else QUERY
        axis.plot(*spot, "o" if i else "D", color=colour, markersize=4 if i else 7)
    axis.set_xscale("log")
    axis.set_yscale("log")
    low, high = min(times.min(), 0.95), max(times.max(), 1.05)
    axis.set_ylim(low * (low / high) ** 0.08, high * (high / low) ** 0.12)
    low, high = axis.get_ylim()
    fine, coarse = (0.8, 0.9, 1.1, 1.25), (0.2, 0.5, 2, 5)
    powers = [10.0**n for n in range(-30, 31)]
    marks = [
        *powers,
        *(coarse if high / low < 1e3 else ()),
        *(fine if high / low < 4 else ()),
    ]
    ticks = [mark for mark in marks if low < mark < high]
    axis.set_yticks(ticks, [f"× {tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("probability before the step")
    axis.set_ylabel("after the step")
    spots = [(before[place], times[place]) for place in named]
    words = ["space" if name == " " else visible(name) for name in named.values()]
    _name_spots(axis, spots, words)
    return axis


def _name_spots(axis: Axes, spots: list[tuple], names: list[str]) -> None:
    """Write each name beside its spot, where no other is if it can; the first is bright.

    A spot above 1 has its name above it rather than below.
    """
    points = 72 / DPI  # of a pixel
    right = axis.bbox.x1 * points + 12
    where = [tuple(xy) for xy in axis.transData.transform(spots) * points]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in where]
    for i, ((x, y), name) in enumerate(zip(where, names, strict=True)):
        wide = 5.8 * len(name)
        lifts = (4, -12) if spots[i][1] > 1 else (-12, 4)
        sides = [(aside, lift) for aside in (7, -7 - wide) for lift in lifts]
        corners = [(x + aside, y + lift - 2) for aside, lift in sides]
        boxes = np.array([(a, b, a + wide, b + 10) for a, b in corners])
        outside = boxes[:, 2] >= right
        best = int((shared(boxes, np.array(taken)) + 1e6 * outside).argmin())
        taken.append(boxes[best])
        style = {"xytext": sides[best], "textcoords": "offset points", "fontsize": 9.5}
        colour = TEXT if i else QUERY
        axis.annotate(plain(name), spots[i], color=colour, family=MONO, **style)


def arrows(
    points: dict[str, tuple[float, float]],
    arrows: Sequence[tuple[str, str, str]],
    circles: Sequence[tuple[str, float, str]] = (),
    title: str = "",
) -> Axes:
    """Named points in a plane, arrows from one to another, circles around some.

    points: name → (x, y), on one scale across and up. arrows: (from, to, label); those
    with the same label have the same colour. circles: (name of the centre, radius,
    label). Raises ValueError for a name that no point has.
    """
    named = [name for start, end, _ in arrows for name in (start, end)]
    for name in [*named, *(centre for centre, *_ in circles)]:
        if name not in points:
            raise ValueError(
                f"No point is called {name!r}: name some of {', '.join(points)}."
            )
    axis = blank(card(8.0, 4.4, title))
    flat = np.array([tuple(map(float, point)) for point in points.values()])
    _fit_plane(axis, flat, [(*points[name], radius) for name, radius, _ in circles])
    for name, radius, label in circles:
        _ring(axis, points[name], radius, label, flat)
    labels = list(dict.fromkeys(label for *_, label in arrows))
    for start, end, label in arrows:
        _step(axis, points[start], points[end], label, SERIES[labels.index(label) % 5])
    axis.plot(*flat.T, "o", color=TEXT, markersize=6, zorder=4)
    for word, place in zip(points, spread(flat, list(points), axis)):
        style = {"color": TEXT, "fontsize": 10, "va": "center", "zorder": 6}
        axis.text(*place, plain(drawable(word, SANS)), bbox=BEHIND, **style)
    return axis


def _fit_plane(axis: Axes, flat: np.ndarray, rings: list[tuple]) -> None:
    """Limits that hold all points and rings, one scale across and up."""
    ends = [(x + side * r, y + side * r) for x, y, r in rings for side in (-1, 1)]
    every = np.concatenate([flat, np.array(ends).reshape(-1, 2)])
    middle, span = (every.max(0) + every.min(0)) / 2, np.ptp(every, axis=0)
    inches = np.array([axis.bbox.width, axis.bbox.height]) / DPI
    room = inches - (2.4, 0.7)  # for the names
    scale = max(*(span / room), 1e-6)  # units an inch
    half = scale * inches / 2
    axis.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axis.set_ylim(middle[1] - half[1], middle[1] + half[1])


def _ring(
    axis: Axes, centre: tuple, radius: float, label: str, flat: np.ndarray
) -> None:
    """A circle around a point, its label at its top or bottom, far from the points."""
    look = {"fill": False, "edgecolor": MUTED, "linestyle": (0, (4, 3))}
    axis.add_patch(Circle(centre, radius, linewidth=1.4, zorder=1, **look))
    ends = [(centre[0], centre[1] + side * radius) for side in (-1, 1)]
    place = max(ends, key=lambda end: np.hypot(*(flat - end).T).min())
    style = {"color": MUTED, "fontsize": 9, "ha": "center", "va": "center"}
    axis.text(*place, plain(drawable(label, SANS)), bbox=BEHIND, zorder=2, **style)


def _step(axis: Axes, start: tuple, end: tuple, label: str, colour: str) -> None:
    """An arrow between two points, its label beside its middle."""
    look = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.2}
    look |= {"shrinkA": 5, "shrinkB": 5, "mutation_scale": 14}
    axis.add_patch(FancyArrowPatch(start, end, zorder=3, **look))
    x, y = ((a + b) / 2 for a, b in zip(start, end))
    across, up = (b - a for a, b in zip(start, end))
    steep = abs(up) > abs(across)
    aside = (7, 0) if steep else (0, 9)
    style = {"xytext": aside, "textcoords": "offset points", "fontsize": 9.5}
    style |= {"ha": "left" if steep else "center", "va": "center", "bbox": BEHIND}
    axis.annotate(plain(drawable(label, SANS)), (x, y), color=colour, zorder=5, **style)


def scores(
    query: np.ndarray,
    keys: np.ndarray,
    names: Sequence[str],
    told: Sequence[str],
    shares: Sequence[float],
    title: str = "",
    ring: str = "",
) -> Axes:
    """A query and keys as arrows in a plane; beside them each score and its share.

    query (2), keys (N, 2), a name for each key, told: its score in words, shares: what
    softmax makes of the scores. The last name has the query, too. A circle marks the
    length 1, which `ring` names.
    """
    axis = blank(card(8.0, 3.6, title))
    tips = np.vstack([keys, query])  # (N + 1, 2)
    scale = 1.14 / max(1.5, float(np.hypot(*tips.T).max()))  # inches
    centre = np.array([2.3, 1.45])
    axis.set_xlim(0, 7.6)
    axis.set_ylim(0, 2.9)
    look = {"fill": False, "edgecolor": BORDER, "linewidth": 1.2}
    axis.add_patch(Circle(centre, scale, linestyle=(0, (4, 3)), **look))
    colours = [KEY] * len(keys) + [QUERY]
    spots = centre + scale * tips
    turns = np.radians(np.arange(270, 630, 15))
    rim = centre + scale * np.stack([np.cos(turns), np.sin(turns)], axis=1)  # (24, 2)
    gaps = np.hypot(*np.moveaxis(rim[:, None] - spots, 2, 0)).min(1)  # to the nearest
    style = {"color": MUTED, "fontsize": 9, "ha": "center", "va": "center", "zorder": 1}
    axis.text(*rim[gaps.argmax()], plain(drawable(ring, SANS)), bbox=BEHIND, **style)
    for spot, colour in zip(spots, colours):
        look = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.4}
        look |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 14}
        axis.add_patch(FancyArrowPatch(centre, spot, **look))
    words = [f"key of {name}" for name in names] + [f"query of {names[-1]}"]
    for word, colour, place in zip(words, colours, _outside(centre, spots, words)):
        style = {"color": colour, "fontsize": 9.5, "ha": "center", "va": "center"}
        axis.text(*place, plain(drawable(word, SANS)), bbox=BEHIND, zorder=5, **style)
    for i, (name, score, share) in enumerate(zip(names, told, shares, strict=True)):
        _share(axis, 2.06 - 1.18 * i, f"{names[-1]} → {name}", score, share)
    return axis


def _outside(centre: np.ndarray, spots: np.ndarray, words: Sequence[str]) -> list:
    """The middle of each word: beyond the tip of its arrow, none over another."""
    places = []
    for spot, word in zip(spots, words):
        way = (spot - centre) / (np.hypot(*(spot - centre)) or 1.0)
        half = np.array([0.04 * len(word) + 0.06, 0.11])  # inches
        x, y = spot + way * (half + 0.06)
        step = 0.21 if way[1] >= 0 else -0.21
        while any(abs(x - a) < half[0] + b and abs(y - c) < 0.2 for a, c, b in places):
            y += step
        places.append((x, y, half[0]))
    return [(x, y) for x, y, _ in places]


def _share(axis: Axes, y: float, name: str, score: str, share: float) -> None:
    """Who looks at whom, the share as a bar from 0 to 1, and the score behind it."""
    left, wide = 4.75, 2.25
    style = {"color": TEXT, "fontsize": 10, "va": "center"}
    axis.text(left, y + 0.27, plain(drawable(name, SANS)), **style)
    style |= {"color": MUTED, "fontsize": 9.5}
    axis.text(left, y - 0.28, plain(score), **style)
    for part, colour in ((1.0, EMPTY), (share, KEY)):
        look = {"color": colour, "linewidth": 0}
        axis.add_patch(Rectangle((left, y - 0.12), wide * part, 0.24, **look))
    style |= {"color": TEXT}
    axis.text(left + wide + 0.08, y, f"{share:.2f}", **style)
