"""What an exercise is made of: a task, its answer, its checks, its likely mistakes."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


class Mistake(Exception):
    """What is wrong with an answer, in words for the learner."""


@dataclass(frozen=True)
class Check:
    """One thing that an answer must do."""

    name: str
    points: int
    proves: str  # what is known of an answer that passes
    hint: str  # the next thing to try
    run: Callable[[Any, torch.Generator], None]  # raises Mistake


@dataclass(frozen=True)
class Wrong:
    """An answer that a learner is likely to give, and words its rejection must hold."""

    name: str
    answer: Any
    words: str


@dataclass(frozen=True)
class Exercise:
    """A task with its answer, its checks and the mistakes that they must catch."""

    id: str  # lesson and name, such as "00.sample"
    title: str
    minutes: int
    rule: str  # what to do, in Markdown
    reference: Any  # a function of the course, or a value
    checks: tuple[Check, ...]
    wrong: tuple[Wrong, ...]
    may_change: tuple[str, ...] = ()  # arguments that the task lets an answer change
    keywords: tuple[str, ...] = ()  # parameters that later cells of the lesson name
    ungraded: str = ""  # why `assignment` leaves it out, where it must
    plain: Any = None  # a plainer answer, shown first where the course's own is clever

    @property
    def name(self) -> str:
        """The name that the answer has in the lesson."""
        return self.id.split(".")[1].split("@")[0]

    @property
    def seed(self) -> str:
        """The class whose numbers it has; empty for a lesson's own exercises."""
        return self.id.partition("@")[2]

    @property
    def is_function(self) -> bool:
        """Whether the answer is code; else it is a value."""
        return inspect.isfunction(self.reference) or inspect.isclass(self.reference)
