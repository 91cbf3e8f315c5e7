"""Texts: where each comes from, and how it is cut into batches.

A text is asked for by name, and comes with a sentence on where it is from; if it can't
be had there is an error, and never another text in its place. Below are also eighty
sentences that we wrote, eight on each of ten subjects, to see what parts of a model
answer to. Lesson 04 uses it first, for those; built in lesson 08.

B batch, T position.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

import torch

from course_lib import files, tiny_world
from course_lib.errors import Problem
from course_lib.files import cache

SHAKESPEARE = "tinyshakespeare.txt"  # its name in the cache, and in COURSE_DATA
SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
    "input.txt"
)
SHAKESPEARE_SIZE = 1_115_394  # bytes
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
STORIES = 20_000  # of TinyWorld, with seed 0
SHORTEST = 1_000  # characters; there is too little to learn from fewer

SENTENCES = {
    "sport": (
        "The goalkeeper dived to her left and saved the penalty.",
        "He won the final set and lifted the tennis trophy.",
        "Our team scored twice in the last five minutes of the match.",
        "The runner crossed the finish line and fell to the ground.",
        "Basketball players practise free throws after every game.",
        "The coach changed the defence before the second half.",
        "She broke the world record in the long jump.",
        "The referee blew the whistle and showed a red card.",
    ),
    "food": (
        "Stir the onions in butter until they are golden.",
        "The soup needs more salt and a little lemon juice.",
        "Grandmother baked bread with walnuts every Sunday.",
        "We ordered noodles, dumplings and a pot of tea.",
        "Melt the chocolate slowly and fold in the cream.",
        "The tomatoes were ripe, sweet and full of flavour.",
        "Roast the potatoes with garlic and rosemary.",
        "He spread jam and cheese on a slice of toast.",
    ),
    "weather": (
        "Dark clouds gathered and the first drops of rain fell.",
        "The storm brought strong winds and heavy snow.",
        "It will be sunny tomorrow with a light breeze.",
        "Thick fog covered the harbour until noon.",
        "Lightning struck the old oak during the thunderstorm.",
        "The temperature dropped below freezing at night.",
        "A rainbow appeared when the shower had passed.",
        "After weeks of drought the fields were dry and cracked.",
    ),
    "music": (
        "The violinist tuned her strings before the concert.",
        "He played a slow waltz on the old piano.",
        "The choir sang the last song without the organ.",
        "Drums and trumpets opened the second movement.",
        "She wrote the melody first and the lyrics later.",
        "The band recorded their new album in a week.",
        "The guitar solo lasted longer than the chorus.",
        "An orchestra needs a conductor to keep the tempo.",
    ),
    "money": (
        "The bank raised its interest rates again this year.",
        "He borrowed money to pay the rent and the taxes.",
        "Investors sold their shares before prices fell.",
        "She saved half of her salary in a pension fund.",
        "The company reported a profit of three million dollars.",
        "Inflation made bread and fuel more expensive.",
        "They signed a mortgage for a small apartment.",
        "The budget leaves nothing for debts or repairs.",
    ),
    "medicine": (
        "The doctor listened to his heart and checked his blood pressure.",
        "The nurse gave the patient an injection for the pain.",
        "A virus caused the fever, and antibiotics did not help.",
        "The surgeon removed the tumour in a four hour operation.",
        "Take one tablet twice a day after meals.",
        "The hospital ran out of beds during the epidemic.",
        "Vaccines teach the immune system to know a disease.",
        "Her broken leg healed after six weeks in plaster.",
    ),
    "space": (
        "The rocket left the launch pad and reached orbit.",
        "Astronauts repaired the telescope outside the station.",
        "Jupiter is the largest planet in the solar system.",
        "A comet has a tail of gas and dust.",
        "The moon pulls at the oceans and makes the tides.",
        "Light from that galaxy left it a billion years ago.",
        "The rover took pictures of rocks on Mars.",
        "A black hole bends the light of the stars behind it.",
    ),
    "law": (
        "The judge sentenced the thief to two years in prison.",
        "Her lawyer asked the witness about the contract.",
        "The jury found the defendant guilty of fraud.",
        "The court of appeal overturned the verdict.",
        "Parliament passed a law against child labour.",
        "The suspect was arrested and charged with murder.",
        "Both parties signed the agreement before a notary.",
        "The accused has the right to remain silent.",
    ),
    "animals": (
        "The cat chased a mouse across the kitchen floor.",
        "Wolves hunt in packs and howl at night.",
        "A pair of storks built a nest on the chimney.",
        "The dog wagged its tail and barked at the horse.",
        "Bees fly from flower to flower and gather nectar.",
        "Whales are mammals that breathe air.",
        "The zookeeper fed fish to the penguins.",
        "Ants carry leaves many times heavier than themselves.",
    ),
    "computers": (
        "The server crashed because the disk was full.",
        "She wrote a function that sorts a list of strings.",
        "Restart the computer and install the new driver.",
        "The program reads a file and counts its lines.",
        "A bug in the code deleted the whole database.",
        "Type your password and press the enter key.",
        "The network cable was not plugged into the router.",
        "He compiled the source code and ran the tests.",
    ),
}


# Texts --------------------------------------------------------------------------------


class Text(NamedTuple):
    """A text to train on, and a sentence on where it comes from."""

    text: str
    origin: str


def text(source: str | Path) -> Text:
    """A text by name, and where it came from.

    source: "tinyworld", "shakespeare", "documentation", or the path of a file of yours.
    Raises Problem if it can't be had, ValueError if a file is no use as text.
    """
    if source == "tinyworld":
        return tinyworld()
    if source == "shakespeare":
        return shakespeare()
    if source == "documentation":
        return Text("\n".join(topics.values()), "the documentation inside this Python")
    return own(files.path(source))


def tinyworld() -> Text:
    """TinyWorld's first stories, some 6 MB: the same on every machine, no download."""
    stories = tiny_world.tiny_world(STORIES, seed=0)
    origin = f"TinyWorld, made by this course: {STORIES:,} stories, seed 0"
    return Text("".join(story.text for story in stories), origin)


def shakespeare() -> Text:
    """TinyShakespeare (Karpathy 2015), from COURSE_DATA, the cache, or the web.

    Wherever it comes from, its SHA-256 is checked. Raises Problem.
    """
    folder = files.setting("COURSE_DATA")
    path = folder / SHAKESPEARE if folder else None
    if path and path.is_file():
        return Text(verified(path), f"TinyShakespeare, {SHAKESPEARE} in COURSE_DATA")
    path = cache.folder() / SHAKESPEARE
    if not path.is_file():
        with cache.lock(SHAKESPEARE):
            if not path.is_file():
                fetch_shakespeare(path)
    return Text(verified(path), f"TinyShakespeare, from {SHAKESPEARE_URL}")


def verified(path: Path) -> str:
    """TinyShakespeare's text, if the file is byte for byte the one that we know."""
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHAKESPEARE_SHA256:
        raise Problem(
            f"{path} is not TinyShakespeare as it was published: its SHA-256 is another. "
            "Delete it and run this again."
        )
    return raw.decode("utf-8")


def fetch_shakespeare(path: Path) -> None:
    """Download TinyShakespeare to `path`; raises Problem with what to do instead."""
    reason = "COURSE_OFFLINE is set"
    if not os.environ.get("COURSE_OFFLINE"):
        try:
            cache.download(SHAKESPEARE_URL, path, SHAKESPEARE_SIZE, SHAKESPEARE_SHA256)
            return
        except cache.TROUBLE as error:
            reason = str(error)
    raise Problem(
        f"TinyShakespeare is not here and could not be fetched ({reason}). Download "
        f"{SHAKESPEARE_URL} on a computer with a network, save it as {path} and run this "
        "again; or use the text 'tinyworld', which needs no network."
    )


def own(path: Path) -> Text:
    """The text of a learner's own file, in UTF-8. Raises ValueError if it is no use."""
    content = read(path)
    if len(content) < SHORTEST:
        raise ValueError(
            f"{path} holds {len(content):,} characters, too few to train on: give a "
            f"text of at least {SHORTEST:,}."
        )
    return Text(content, f"your file {path.name}")


def read(path: Path) -> str:
    """What is in a text file; line ends become "\\n". Raises ValueError."""
    if "\0" in str(path):
        raise ValueError("A path can't hold a zero byte: give the path of a text file.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f"There is no file {path}: give the path of a text file, or one of the names "
            "'tinyworld', 'shakespeare', 'documentation'."
        ) from None
    except OSError as error:  # a folder; no permission; a name too long
        raise ValueError(
            f"{str(path)[:80]} can't be read ({error.strerror}): give the path of a text "
            "file."
        ) from None
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 (byte {error.start:,} is no character): open "
            "it in an editor and save it as UTF-8."
        ) from None
    if "\0" in content:
        raise ValueError(
            f"{path} is not text, for it holds bytes of value 0: give a text file."
        )
    return content.replace("\r\n", "\n")


# Ids ----------------------------------------------------------------------------------


def split(ids: torch.Tensor, share: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut ids (N,) into a part to train on and, from the end, a part to validate on.

    By place and not at random: neighbouring windows share most of their text, so that a
    random choice would validate on what was trained on. share: of the ids, for
    validation. Raises ValueError if either part would be empty.
    """
    check_vector(ids)
    kept = len(ids) - round(len(ids) * share) if 0 < share < 1 else 0
    if not 0 < kept < len(ids):
        raise ValueError(
            f"A share of {share} of {len(ids):,} ids leaves a part empty: give a "
            "longer text, or a share between 0 and 1, such as 0.1."
        )
    return ids[:kept], ids[kept:]


def batch(
    ids: torch.Tensor,
    size: int,
    context: int,
    generator: torch.Generator,
    starts: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows of a text: inputs (B, T) and targets (B, T), int64.

    Targets are the inputs shifted by one. ids (N,) of any whole-number dtype, on any
    device; generator: on the CPU. starts: places where windows may begin, such as the
    beginnings of stories; those too near the end are left out. Raises ValueError if
    there is no room for a window.
    """
    check(ids, size, context)
    if starts is None:
        room = len(ids) - context  # windows begin before here
        return cut(ids, torch.randint(room, (size,), generator=generator), context)
    starts = with_room(ids, starts, context)
    drawn = torch.randint(len(starts), (size,), generator=generator)  # (B,)
    return cut(ids, starts[drawn], context)


def batches(
    ids: torch.Tensor,
    size: int,
    context: int,
    generator: torch.Generator,
    starts: torch.Tensor | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """batch() without end; a run that resumes needs the generator's state, no more."""
    while True:
        yield batch(ids, size, context, generator, starts)


def cut(
    ids: torch.Tensor, starts: torch.Tensor, context: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The windows that begin at starts (B,): inputs (B, T) and targets (B, T), int64."""
    steps = torch.arange(context + 1)
    rows = ids[(starts.unsqueeze(1) + steps).to(ids.device)].long()  # (B, T + 1)
    return rows[:, :-1], rows[:, 1:]  # (B, T) each


def with_room(ids: torch.Tensor, starts: torch.Tensor, context: int) -> torch.Tensor:
    """Those of the starts that leave room for a window, on the CPU.

    Raises ValueError if none does.
    """
    starts = starts[(starts >= 0) & (starts < len(ids) - context)].cpu()
    if not len(starts):
        raise ValueError(
            f"None of the starts leaves room for {context:,} ids and their targets: give "
            "a longer text, other starts or a shorter context."
        )
    return starts


def disjoint(
    ids: torch.Tensor, context: int, starts: torch.Tensor | None = None
) -> torch.Tensor:
    """Where windows begin that share no target, in order: (windows,).

    None: each where the one before it ends. starts: at the first of these that is not
    before that end. Raises ValueError if not one window fits.
    """
    check(ids, 1, context)
    if starts is None:
        return torch.arange((len(ids) - 1) // context) * context
    found, end = [], 0
    for start in with_room(ids, starts, context).sort().values.tolist():
        if start >= end:
            found.append(start)
            end = start + context
    return torch.tensor(found)


def windows(
    ids: torch.Tensor, size: int, context: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every window of a text once, in order: inputs (B, T) and targets (B, T), int64.

    Each id but the first is a target exactly once. What is left at the end comes last,
    as one row (1, rest) that is shorter; so weigh each batch's mean loss by its number
    of targets. Raises ValueError if not one window fits.
    """
    check(ids, size, context)
    whole = disjoint(ids, context)
    for starts in whole.split(size):
        yield cut(ids, starts, context)
    rest = (len(ids) - 1) % context
    if rest:
        yield cut(ids, whole[-1:] + context, rest)


def check_vector(ids: torch.Tensor) -> None:
    """Raise ValueError if ids are not a vector of whole numbers."""
    if ids.ndim != 1 or ids.is_floating_point() or ids.is_complex():
        raise ValueError(
            f"These ids are {ids.dtype} of shape {tuple(ids.shape)}: give a vector of "
            "whole numbers, such as torch.tensor(tokenizer.encode(text))."
        )


def check(ids: torch.Tensor, size: int, context: int) -> None:
    """Raise ValueError if windows can't be cut from ids."""
    check_vector(ids)
    if size < 1 or context < 1:
        raise ValueError(
            f"A batch of {size} windows of {context} ids? Give whole numbers from 1."
        )
    if len(ids) <= context:
        raise ValueError(
            f"The text has {len(ids):,} ids and a window needs {context + 1:,}, one more "
            "than the context: give a longer text or a shorter context."
        )
