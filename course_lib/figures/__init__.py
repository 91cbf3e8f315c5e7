"""Every picture: each takes plain values, draws on an axis and returns it.

One drawing grammar for the whole course: a dark card that keeps its own ground on light
and dark pages, one thing bright and the rest dim, the same thing in the same colour
everywhere (Okabe–Ito hues, told apart by colour-blind eyes, always with a second cue).
Pictures know nothing of models. matplotlib's Figure is used without pyplot: nothing is
shown twice, nothing needs closing, and a lesson starts a second sooner.

This file is the index, by kind of picture. Of the stage: nobody has to type it.
"""

from course_lib.figures.charts import (
    bars,  # named amounts, some of them bright
    curves,  # lines, each named at its right end
    dots,  # amounts that no line should join, and levels to compare them with
    histogram,  # how often each value comes up
    outcomes,  # a bar for each row, cut into parts
    powers,  # lines and named points over a logarithmic axis
    tree_map,  # amounts as areas
)
from course_lib.figures.clusters import (
    holdings,  # what each of some holders has, in parts
    ring,  # ranks, their pieces, and what goes round
    roofline,  # what limits a chip, and operations upon it
)
from course_lib.figures.diagrams import (
    course_map,  # the sixteen lessons, one of them bright
    flow,  # boxes joined by arrows
    graph,  # a calculation: values, and under them gradients
    the_loop,  # predict, choose, append, repeat
)
from course_lib.figures.grids import (
    MOST_LOOKS,  # tokens in a grid of who looks at whom
    attention_grid,  # who looks at whom
    chunks,  # a sound, cut
    head_map,  # a number for every head of every layer
    lens_grid,  # a word for every layer and position
    matrices,  # numbers visible, the shape under each
    patches,  # an image, cut
)
from course_lib.figures.parts import (
    heads,  # channels shared out among heads
    machine,  # the GPT whole, some of its parts bright
    neurons,  # an MLP: questions, switches, answers
)
from course_lib.figures.points import (
    arrows,  # steps between named points of a plane, circles around some
    fan,  # arrows from one point, for vectors
    landscape,  # a loss over two weights, and steps upon it
    regions,  # two kinds of points, and what a model says everywhere
    scores,  # a query and keys as arrows, their scores and shares
    shift,  # how each of many probabilities changes
    word_map,  # words as points: near means alike
)
from course_lib.figures.senses import (
    alignment,  # which word of a source each word of a target looks at
    drawings,  # small images in rows, named
    named,  # an image, what a model says it is, and where it looks
    spectrogram,  # how loud each pitch is at each time
)
from course_lib.figures.style import (
    BORDER,  # colours: of the edge of what stays behind,
    DIM,  # of all but the first of several,
    EMPTY,  # of an empty place,
    EXTRA,  # what has no role of its own,
    GROUND,  # the card,
    KEY,  # keys,
    MLP,  # the MLP,
    MOST_LETTERS,  # (of a token that names a row and a column)
    MUTED,  # what stays behind,
    QUERY,  # queries,
    SERIES,  # several lines,
    TEXT,  # text and neutral data,
    VALUE,  # values
    blank,  # take away the ticks
    card,  # an empty dark card, with a title
    drawable,  # text with what the font can't draw as code points
    plain,  # text that is drawn as it is, with its dollar signs
    png,  # the picture as bytes
    shortened,  # a label that leaves room for others
    visible,  # a token as it can be drawn, its spaces too
)
from course_lib.figures.tiles import (
    tiles,  # what every head and every MLP adds
)
from course_lib.figures.tokens import (
    dialled,  # probabilities before and after a dial
    next_token_bars,  # the likeliest next tokens
    pages,  # texts to read, side by side
    ruler,  # probabilities end to end, and points upon them
    token_strip,  # texts cut into boxed tokens
    tree,  # continuations of a text, as branches
)
