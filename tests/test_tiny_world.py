"""TinyWorld against brute force: all its texts, all their probabilities."""

import itertools
import math
import random
import re
import statistics
from collections import defaultdict

import pytest

from course_lib import tiny_world
from course_lib.tiny_world import KINDS, WORLD, Fork, Slot, kind, parse

FEW = {  # a world small enough to tell every story of it
    "name": kind("name she", (("Mia", "she"), ("Max", "he"), ("Bo", "he"))),
    "animal": kind("animal home", (("bear", "cave", 5), ("bat", "barn", 2))),
    "toy": kind("toy", ("ball", "bell", "drum")),
}
SMALL = parse(
    "[One|Once] {a:name} met [a {b:name}|the {c:animal}, who lived in the {c.home}|two "
    "[big|bad|old] drums]. {a} took a {t:toy} and a {u:toy}."
)
SMALL = (*SMALL, "\n")


@pytest.fixture(scope="module")
def stories():
    return tiny_world.tiny_world(3_000, seed=1)


class Script:
    """In place of chance: takes the options that it is told to, then the first ones."""

    def __init__(self, told):
        self.told, self.taken = told, []

    def __call__(self, weights, chance):
        step = len(self.taken)
        chosen = self.told[step] if step < len(self.told) else 0
        self.taken.append((chosen, weights))
        return chosen

    def following(self):
        """The next way through, as one counts: None after the last."""
        taken = list(self.taken)
        while taken:
            chosen, weights = taken.pop()
            if chosen + 1 < len(weights):
                return [one for one, _ in taken] + [chosen + 1]
        return None


def every_story(world, monkeypatch):
    """(story, probability) of each way through a world, told one by one."""
    told, found = [], []
    while told is not None:
        script = Script(told)
        with monkeypatch.context() as patched:
            patched.setattr(tiny_world, "pick", script)
            (story,) = tiny_world.tiny_world(1, 0, world)
        parts = [weights[chosen] / sum(weights) for chosen, weights in script.taken]
        found.append((story, math.prod(parts)))
        told = script.following()
    return found


def plots_in_small():
    """Each plot by itself, behind a short opening."""
    return [(*parse("{hero:name} " + plot), "\n") for plot in tiny_world.PLOTS]


def two_of_each():
    """The lists of the world, cut to as few rows as the plots bear."""
    least = {"name": 2, "colour": 2, "toy": 2, "tool": 2, "spot": 3, "fruit": 6}
    return {
        name: kind(
            " ".join(fields),
            tuple((*row, weight) for row, weight in zip(rows, weights))[
                : least.get(name, 2)
            ],
        )
        for name, (fields, rows, weights) in KINDS.items()
    }


# One text, one way -------------------------------------------------------------------


def assert_all_is_exact(world, monkeypatch):
    every = every_story(world, monkeypatch)
    chance_of = {story.text: p for story, p in every}
    assert len(chance_of) == len(every) > 20  # no text is told in two ways
    assert math.fsum(chance_of.values()) == pytest.approx(1, abs=1e-9)
    for story, p in every:
        assert story.nats == pytest.approx(-math.log(p))
    wanted = tiny_world.averages(world)
    for mean, measure in zip(
        wanted, (lambda s: s.nats, lambda s: len(s.text), lambda s: len(s.text.split()))
    ):
        assert mean == pytest.approx(math.fsum(p * measure(s) for s, p in every))
    return every


def beginnings(every) -> dict[str, float]:
    """The probability of every text that a story can begin with."""
    mass = defaultdict(float)
    for story, p in every:
        for end in range(len(story.text) + 1):
            mass[story.text[:end]] += p
    return mass


def test_a_small_world_by_brute_force(monkeypatch):
    monkeypatch.setattr(tiny_world, "KINDS", FEW)
    every = assert_all_is_exact(SMALL, monkeypatch)
    mass = beginnings(every)
    for story, _ in every:
        for end, nats in enumerate(tiny_world.surprise(story), start=1):
            p = mass[story.text[:end]] / mass[story.text[: end - 1]]
            assert nats == pytest.approx(-math.log(p), abs=1e-9), story.text[:end]


@pytest.mark.parametrize("number", range(len(tiny_world.PLOTS)))
def test_every_plot_by_brute_force_on_shorter_lists(monkeypatch, number):
    monkeypatch.setattr(tiny_world, "KINDS", two_of_each())
    every = assert_all_is_exact(plots_in_small()[number], monkeypatch)
    mass = beginnings(every)
    for story, _ in random.Random(0).sample(every, 20):
        for end, nats in enumerate(tiny_world.surprise(story), start=1):
            p = mass[story.text[:end]] / mass[story.text[: end - 1]]
            assert nats == pytest.approx(-math.log(p), abs=1e-9), story.text[:end]


def parts_of(parts):
    """Every part of a world, those inside forks too."""
    for part in parts:
        yield part
        if isinstance(part, Fork):
            yield from parts_of(itertools.chain(*part.branches))


def assert_they_part_at_once(options):
    for one, other in itertools.permutations(options, 2):
        assert not other.startswith(one), (one, other)


def test_options_differ_in_their_first_word():
    forks = [part for part in parts_of(WORLD) if isinstance(part, Fork)]
    assert len(forks) > 40
    for fork in forks:
        assert_they_part_at_once(fork.first_words)
        for word, branch in zip(fork.first_words, fork.branches):
            assert branch[0].startswith(word) and word
    for _, rows, _ in KINDS.values():
        assert_they_part_at_once([row[0].split()[0] for row in rows])
        assert_they_part_at_once([row[0] for row in rows])


def read(text, parts, known):
    """Follow a text through a world by its next word alone: (nats, what is unread)."""
    nats = 0.0
    for part in parts:
        if isinstance(part, Fork):
            fits = [way for way in part.branches if text.startswith(first(way))]
            assert len(fits) == 1, text
            more, text = read(text, fits[0], known)
            nats += more + math.log(len(part.branches))
            continue
        if isinstance(part, Slot):
            if part.kind:
                _, rows, weights = KINDS[part.kind]
                used = [row for name, row in known.values() if name == part.kind]
                fits = [row for row in rows if text.startswith(row[0])]
                assert len(fits) == 1 and fits[0] not in used, text
                free = sum(w for row, w in zip(rows, weights) if row not in used)
                nats -= math.log(weights[rows.index(fits[0])] / free)
                known[part.who] = (part.kind, fits[0])
            name, row = known[part.who]
            part = row[KINDS[name].fields.index(part.field)] if part.field else row[0]
        assert text.startswith(part), (text, part)
        text = text[len(part) :]
    return nats, text


def first(way):
    return re.match(r"\S+", way[0]).group()


def test_every_story_can_be_read_back_to_its_choices(stories):
    for story in stories:
        nats, rest = read(story.text, WORLD, {})
        assert rest == "" and nats == pytest.approx(story.nats)


# The floor ---------------------------------------------------------------------------


def test_entropy_is_the_mean_surprise(stories):
    wanted = tiny_world.averages()
    assert tiny_world.entropy() == wanted.nats
    samples = (
        [story.nats for story in stories],
        [len(story.text) for story in stories],
        [len(story.text.split()) for story in stories],
    )
    for mean, sample in zip(wanted, samples):
        error = statistics.stdev(sample) / math.sqrt(len(sample))
        assert abs(mean - statistics.mean(sample)) < 4 * error


def test_surprise_sums_to_the_story(stories):
    for story in stories[:500]:
        nats = tiny_world.surprise(story)
        assert len(nats) == len(story.text) and min(nats) >= 0
        assert math.fsum(nats) == pytest.approx(story.nats)


def test_token_surprise_sums_over_characters(stories):
    story = stories[0]
    words = re.findall(r"\s?\S+|\s", story.text)
    by_word = tiny_world.token_surprise(story, words)
    assert len(by_word) == len(words) and sum(by_word) == pytest.approx(story.nats)
    by_letter = tiny_world.token_surprise(story, list(story.text))
    assert by_letter == tiny_world.surprise(story)
    assert by_word[1] == pytest.approx(sum(by_letter[len(words[0]) :][: len(words[1])]))
    with pytest.raises(ValueError, match="do not join to the story"):
        tiny_world.token_surprise(story, words[:-1])


def test_no_guesser_beats_the_floor(stories):
    # The best that two words of memory can do, fitted to these very stories, is above.
    pairs, threes = defaultdict(int), defaultdict(int)
    runs = [["", "", *re.findall(r"\w+|\W", story.text)] for story in stories]
    for run in runs:
        for three in zip(run, run[1:], run[2:]):
            threes[three] += 1
            pairs[three[:2]] += 1
    loss = -sum(n * math.log(n / pairs[three[:2]]) for three, n in threes.items())
    assert loss > 1.2 * sum(story.nats for story in stories)


def test_averages_follow_an_edited_list(monkeypatch):
    world = parse("The {a:toy} and the {b:toy}.")
    before = tiny_world.averages(world)
    toys = kind("toy", ("ball", "kite"))
    monkeypatch.setattr(tiny_world, "KINDS", {**KINDS, "toy": toys})
    after = tiny_world.averages(world)
    assert after.nats == pytest.approx(math.log(2)) and before.nats > after.nats


def test_a_second_draw_of_uneven_weights_is_refused():
    world = parse("{a:animal} and {b:animal}")
    with pytest.raises(ValueError, match=r"a second 'animal'.*the same weight"):
        tiny_world.averages(world)


# The stories --------------------------------------------------------------------------


def test_a_seed_decides_the_stories(stories):
    again = tiny_world.tiny_world(50, seed=1)
    assert again == stories[:50]
    assert tiny_world.tiny_world(50, seed=2) != again
    with pytest.raises(ValueError, match="at least one"):
        tiny_world.tiny_world(0, seed=1)


def test_options_come_as_often_as_their_weights(stories):
    met = defaultdict(lambda: [0, 0.0, 0.0])  # option → seen, expected, variance
    for story in stories:
        for _, chosen, options, weights in story.choices:
            for i, option in enumerate(options):
                p = weights[i] / sum(weights)
                met[option][0] += i == chosen
                met[option][1] += p
                met[option][2] += p * (1 - p)
    assert len(met) > 100
    for option, (seen, mean, variance) in met.items():
        assert abs(seen - mean) < 5 * math.sqrt(variance) + 1, option


def test_stories_are_short_and_end_in_a_line_end(stories):
    for story in stories:
        words = story.text.split()
        assert 40 <= len(words) <= 75
        assert story.text.count("\n") == 1 and story.text.endswith(".\n")
        assert "  " not in story.text and not re.search(r" [.,!?]", story.text)
        assert story.text.count('"') % 2 == 0
        assert 5 <= len(re.findall(r'[.!?]"? (?=[A-Z"])|\n', story.text)) <= 9
    vocabulary = {w for s in stories for w in re.findall("[a-z]+", s.text.lower())}
    assert 200 <= len(vocabulary) <= 300
    assert len({story.text for story in stories}) > 0.99 * len(stories)


def test_no_a_before_a_vowel(stories):
    for story in stories:
        assert not re.search(r"\b[Aa] [aeiouAEIOU]", story.text), story.text


def plot(story, word):
    return re.search(rf"^(?:One \w+ \w+|Last \w+|Not long ago) \w+ {word}", story.text)


def told(stories, word, pattern):
    """What a pattern finds in each story of one plot, where it must stand."""
    found = [re.search(pattern, s.text) for s in stories if plot(s, word)]
    assert len(found) > 200 and all(found)
    return found


ORDER = ["one", "two", "three", "four", "five"]


def test_what_is_told_early_holds_later(stories):
    for one in told(stories, "lost", r"saw it (.*?)\. .*Then \w+ looked (.*?), and"):
        assert one[1] == one[2]
    for one in told(stories, "packed", r"packed (\w+) .*had (\w+) .*so (\w+) were"):
        before, more, left = (ORDER.index(one[i]) for i in (1, 2, 3))
        assert more == before + 1 and left == more - 1
    for one in told(stories, "found", r"were (\w+) .*had (\w+) left"):
        assert ORDER.index(one[2]) == ORDER.index(one[1]) - 1
    for one in told(stories, "found", r"found a (\w+) key .*the (\w+) box, and it op"):
        assert one[1] == one[2]
    race = r"(\w+) raced (\w+) .*(?:Soon|Halfway) (\w+) fell .*so (\w+) won"
    for one in told(stories, "raced", race):
        assert {one[1], one[2]} == {one[3], one[4]}
    for one in told(stories, "helped", r"(\w+) took the (\w+) .*\1 put the (\w+)"):
        assert one[2] == one[3]
    for one in told(stories, "wanted", r"the colour (\w+)\. .*\"I love (\w+)!"):
        assert one[1] == one[2]
    for one in told(stories, "walked", r"took the (\w+) (\w+)\. .*cried (\w+)\."):
        assert f"{one[3]} wore a {one[1]} {one[2]}" in one.string
    for story in stories:
        assert ("rained" in story.text) == ("wet" in story.text)
        assert ("sun shone" in story.text) == ("stayed dry" in story.text)


def test_pronouns_agree(stories):
    for story in stories:
        hero = min((*tiny_world.GIRLS, *tiny_world.BOYS), key=lambda n: where(story, n))
        wrong = "[Hh]e|[Hh]is" if hero in tiny_world.GIRLS else "[Ss]he|[Hh]er"
        assert not re.search(rf"\b({wrong})\b", story.text), story.text


def where(story, name):
    place = re.search(rf"\b{name}\b", story.text)
    return place.start() if place else len(story.text)


def test_facts_are_told_and_never_denied():
    every = "".join(story.text for story in tiny_world.tiny_world(20_000, seed=3))
    facts = tiny_world.facts()
    assert len(facts) > 35 and len({fact.prompt for fact in facts}) == len(facts)
    seen = defaultdict(list)
    for fact in facts:
        times = every.count(fact.prompt)
        assert times > 20 and every.count(fact.prompt + fact.answer) == times, fact
        seen[fact.share].append(times)
    often, seldom = seen[max(seen)], seen[min(seen)]
    assert min(often) > 3 * max(seldom)


def test_the_shares_of_a_fact_sum_to_one():
    for name, field, prompt, _ in tiny_world.ASKED:
        starts = {prompt.format(row[0]) for row in KINDS[name].rows}
        shares = [fact.share for fact in tiny_world.facts() if fact.prompt in starts]
        assert len(shares) == len(KINDS[name].rows), field
        assert sum(shares) == pytest.approx(1)


def test_no_two_animals_or_tools_share_a_fact():
    for name in ("animal", "tool", "number"):
        for words in zip(*KINDS[name].rows):
            assert len(set(words)) == len(words), words


# The template -------------------------------------------------------------------------


def test_a_template_is_parsed():
    assert parse("a {b:toy} of {b.name}\n{b}") == (
        "a ", Slot("b", "toy", ""), " of ", Slot("b", "", "name"), " ", Slot("b", "", "")
    )  # fmt: skip
    inner = Fork(("c", "d"), (("c",), ("d e",)))
    assert parse("[a [c|d e]|b]") == (Fork(("a", "b"), (("a ", inner), ("b",))),)
