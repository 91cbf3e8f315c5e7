"""A place for each guess: a row of choices, and what came out held beside it.

A guess is made before the cell that measures it runs. Of the stage: nobody has to type it.
"""

import math
from numbers import Real

import ipywidgets
from IPython.display import display

from course_lib.files import progress

CLOSE = 0.2  # a number is right if it is within a fifth of what was measured
LIVE = "application/vnd.jupyter.widget-view+json"


class Guess:
    """What a row of choices is: pressed or not, and what was measured afterwards."""

    def __init__(self, id: str, options: tuple[str, ...]) -> None:
        self.id, self.options = id, options
        self.chosen: str | None = None
        self.measured: str | None = None
        self.note = ipywidgets.HTML()
        self.row = ipywidgets.ToggleButtons(options=options, value=None)
        self.row.style.button_width = "auto"
        self.row.observe(self._press, "value")

    def _press(self, change) -> None:
        """Take the choice; say what came out, if it is known."""
        self.chosen = change["new"]
        if self.measured is None:
            self.note.value = "Noted. Now run the next cells."
        else:
            self.note.value = told(self.id, self.chosen, self.measured)

    def __repr__(self) -> str:
        return f"a choice among {', '.join(self.options)}: {self.chosen or 'none yet'}"


def choose(id: str, *options: str) -> Guess:
    """Show a row of choices, and return what `predict` takes for a guess.

    Press one, by mouse or with Tab and Space, before you run on. A page that can't run
    code shows the choices as text.
    """
    guess = Guess(id, options)
    box = ipywidgets.VBox([guess.row, guess.note])
    words = "Choose: " + " · ".join(options)
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    data = {LIVE: view, "text/markdown": f"*{words}*", "text/plain": words}
    display(data, raw=True)
    return guess


def told(id: str, guess: object, measured: object, unit: str = "") -> str:
    """Hold a guess beside what was measured, in a sentence; keep both (see `progress`)."""
    sentence = f"Measured: {shown(measured)}{unit}."
    if guess is ... or guess is None:
        return f"{sentence} (No guess was made.)"
    progress.note(id, "guessed", guess=guess, measured=measured)
    if isinstance(guess, Real) and isinstance(measured, Real):
        return f"{sentence} {compared(guess, measured, unit)}"
    fits = str(guess).strip().lower() == str(measured).strip().lower()
    return f"{sentence} You said {guess}: " + ("right." if fits else "not this time.")


def compared(guess: Real, measured: Real, unit: str = "") -> str:
    """How near a number came: close, or too high or low, and how many times."""
    try:
        guess = float(guess)
    except OverflowError:
        guess = math.inf if guess > 0 else -math.inf
    if math.isnan(guess):
        return "Your guess is not a number."
    if abs(guess - measured) <= CLOSE * abs(measured):
        return f"Your guess, {shown(guess)}{unit}, is close."
    way = "too high" if guess > measured else "too low"
    if guess * measured > 0 and math.isfinite(guess):
        times = max(guess / measured, measured / guess)
        way += f", by a factor of {shown(float(times))}"
    return f"Your guess, {shown(guess)}{unit}, is {way}."


def shown(value: object) -> str:
    """A number in few digits, large ones with commas; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"{value}"
    value = float(value)
    if value.is_integer() or 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.3g}"
