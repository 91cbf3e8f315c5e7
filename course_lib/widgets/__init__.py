"""Every widget: each moves a picture of `figures`.

A widget is shown with its picture beside it, so that a page which can't run code shows
the picture. Only core ipywidgets (7.7 and later) and no network; one widget has
JavaScript of ours, and does without where that can't run.

This file is the index. Of the stage: nobody has to type it.
"""

from course_lib.widgets.attention import (
    attention_explorer,  # type a text, see where each token looks
)
from course_lib.widgets.controls import (
    choice,  # one of a few things
    slider,  # a whole number
    steer,  # a picture that controls move
    text_box,  # a line of text, answered on Enter
)
from course_lib.widgets.explorers import (
    next_token_explorer,  # type a text, see what comes next
    token_explorer,  # type a text, see how it is cut
)
from course_lib.widgets.pictures import (
    frame,  # what a picture stands in: on a narrow page it can be scrolled
    live,  # a picture that changes while a cell runs
    picture,  # a picture that a widget can change
    show,  # a picture, its caption, and a widget where it can live
)
