"""Every widget: each moves a picture of `figures`.

A widget is shown with its picture beside it, so that a page which can't run code shows
the picture. Only core ipywidgets (7.7 and later) and no network; two widgets
have JavaScript of ours, and do without where that can't run.

This file is the index. Of the stage: nobody has to type it.
"""

from course_lib.widgets.attention import (
    attention_explorer,  # type a text, see where each token looks
)
from course_lib.widgets.choosing import (
    pair_chooser,  # read two texts, press a button for the one that you like more
)
from course_lib.widgets.controls import (
    choice,  # one of a few things
    dial,  # a number with a fraction
    slider,  # a whole number
    steer,  # a picture that controls move
    switch,  # on or off
    text_box,  # a line of text, answered on Enter
)
from course_lib.widgets.explorers import (
    merge_explorer,  # type a sentence, apply one merge after the other
    next_token_explorer,  # type a text, see what comes next
    token_explorer,  # type a text, see how it is cut
)
from course_lib.widgets.labs import (
    analogy_lab,  # type three words, see what is to c as b is to a
    score_lab,  # turn a query and a key, see score and shares
)
from course_lib.widgets.machine_view import (
    machine_view,  # type a sentence, see what every part adds, press parts off
)
from course_lib.widgets.pictures import (
    frame,  # what a picture stands in: on a narrow page it can be scrolled
    live,  # a picture that changes while a cell runs
    picture,  # a picture that a widget can change
    show,  # a picture, its caption, and a widget where it can live
)
from course_lib.widgets.senses import (
    drawing_pad,  # draw on a grid of pixels, see what the model says it is
    hear,  # a sound that can be played, and its words
    melody_box,  # write a melody, hear it, see what the model hears
)
from course_lib.widgets.writing import (
    writing_box,  # type a prompt, have the model write on, stop it
)
