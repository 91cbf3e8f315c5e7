"""Exercises of lesson 00: choosing a token, measuring a text, writing a script."""

import math
from collections import Counter

import torch

from course_lib import sampling
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    want_close,
    want_type,
)

DRAWS = 2_000
SIZE = 8  # tokens in the small vocabularies that the checks make up


# 00.sample --------------------------------------------------------------------------


def some_probabilities(generator: torch.Generator) -> torch.Tensor:
    """Eight probabilities (8,), far from equal and in no order."""
    weights = torch.tensor([40.0, 25, 14, 9, 6, 3, 2, 1])
    return weights[torch.randperm(SIZE, generator=generator)] / weights.sum()


def draws_follow_probabilities(sample, generator):
    p = some_probabilities(generator)
    first = sample(p.clone(), generator)
    if first is not None:
        want_type(first, int, "sample(probabilities, generator)")
    drawn = Counter(sample(p.clone(), generator) for _ in range(DRAWS))
    shares = torch.tensor([drawn[i] / DRAWS for i in range(SIZE)])
    if drawn[None]:
        raise Mistake(
            f"{drawn[None]} of {DRAWS} draws gave None: the function reached its end "
            "without a return. Every random number should pick some token."
        )
    stray = sorted(set(drawn) - set(range(SIZE)))
    if stray:
        raise Mistake(
            f"It drew {stray[0]}, but the ids run from 0 to {SIZE - 1}: off by one?"
        )
    if len(drawn) == 1:
        if int(p.argmax()) in drawn:
            raise Mistake("It gives the most likely token every time; that is greedy.")
        raise Mistake(f"It gave {first} in all of {DRAWS} draws. Where is the chance?")
    if near(shares, p):
        return
    if near(shares, torch.full((SIZE,), 1 / SIZE)):
        raise Mistake(
            "It draws all tokens equally often: it ignores the probabilities."
        )
    if near(shares, p.sort(descending=True).values) or near(shares, p.sort().values):
        raise Mistake(
            "It gives a token's place in the sorted list, not its id: sorting loses ids."
        )
    if near(shares, p.roll(1)) or near(shares, p.roll(-1)):
        raise Mistake("It draws the neighbour of the right token: off by one.")
    worst = int((shares - p).abs().argmax())
    raise Mistake(
        f"Token {worst} has probability {p[worst]:.2f} and came up in "
        f"{shares[worst]:.2f} of {DRAWS} draws."
    )


def near(shares: torch.Tensor, p: torch.Tensor) -> bool:
    """Whether measured shares fit p: five standard deviations for each token."""
    deviation = (p * (1 - p) / DRAWS).sqrt()
    return bool(((shares - p).abs() < 5 * deviation + 0.002).all())


def generator_decides(sample, generator):
    p = some_probabilities(generator)
    seed = int(torch.randint(1_000_000, (1,), generator=generator))
    runs = []
    for _ in range(2):
        source = torch.Generator().manual_seed(seed)
        runs.append([sample(p.clone(), source) for _ in range(40)])
    if runs[0] != runs[1]:
        raise Mistake(
            "The same seed drew different ids. Take every random number from the "
            "generator: torch.rand(1, generator=generator)."
        )
    if len(set(runs[0])) == 1:
        raise Mistake("Forty draws from one generator were all the same token.")


def impossible_never_drawn(sample, generator):
    p = torch.zeros(SIZE)
    allowed = torch.randperm(SIZE - 2, generator=generator)[:2] + 1
    p[allowed] = torch.tensor([0.3, 0.7])
    want_type(sample(p.clone(), generator), int, "sample(probabilities, generator)")
    drawn = {sample(p.clone(), generator) for _ in range(300)}
    stray = drawn - set(allowed.tolist())
    if stray:
        raise Mistake(
            f"It drew token {sorted(stray)[0]}, whose probability is 0: ignores the "
            "probabilities, or off by one at a boundary."
        )


def wrong_greedy(probabilities, generator):
    return int(probabilities.argmax())


def wrong_uniform(probabilities, generator):
    return int(torch.randint(len(probabilities), (1,), generator=generator))


def wrong_own_chance(probabilities, generator):
    return int(torch.multinomial(probabilities, 1))


def wrong_sorted_place(probabilities, generator):
    ordered = probabilities.sort(descending=True).values
    return int(torch.multinomial(ordered, 1, generator=generator))


def wrong_one_too_far(probabilities, generator):
    ends = probabilities.cumsum(0)
    point = torch.rand(1, generator=generator)
    return int((ends < point).sum()) + 1


def wrong_single_probability(probabilities, generator):
    point = torch.rand(1, generator=generator)
    for i, p in enumerate(probabilities):
        if p > point:  # one probability, not their sum so far
            return i


def wrong_tensor(probabilities, generator):
    return torch.multinomial(probabilities, 1, generator=generator)


SAMPLE = Exercise(
    id="00.sample",
    title="draw a token",
    minutes=10,
    rule=(
        "Draw one id at random, each as often as its probability says. `generator` is a "
        "source of chance: started from the same number, its *seed*, it gives the same "
        "numbers again. Take every random number from it (`torch.rand(1, "
        "generator=generator)` gives one between 0 and 1). Return an `int`. "
        "`torch.multinomial` would do it in one line; try with the ruler first."
    ),
    reference=sampling.sample,
    checks=(
        Check(
            name="draws follow the probabilities",
            points=2,
            proves="draws each token as often as its probability says",
            hint="Add the probabilities up one by one (`cumsum`). The first sum that is "
            "above your random number belongs to the token you want.",
            run=draws_follow_probabilities,
        ),
        Check(
            name="the generator decides",
            points=1,
            proves="draws the same ids from the same seed",
            hint="Is there a random number that does not come from `generator`?",
            run=generator_decides,
        ),
        Check(
            name="the impossible never happens",
            points=1,
            proves="never draws a token of probability 0",
            hint="What if the first token has probability 0 and the random number is 0?",
            run=impossible_never_drawn,
        ),
    ),
    wrong=(
        Wrong("greedy", wrong_greedy, "that is greedy"),
        Wrong("uniform", wrong_uniform, "ignores the probabilities"),
        Wrong(
            "a generator of its own", wrong_own_chance, "The same seed drew different"
        ),
        Wrong("place in the sorted list", wrong_sorted_place, "sorting loses ids"),
        Wrong("one too far", wrong_one_too_far, "off by one"),
        Wrong("no sum", wrong_single_probability, "draws gave None"),
        Wrong("a tensor", wrong_tensor, "is a Tensor; it should be an int"),
    ),
)


# 00.distinct ------------------------------------------------------------------------


def some_ids(generator: torch.Generator) -> list[int]:
    """Thirty ids out of four whose digits run together: (1, 11) is not (11, 1)."""
    picks = torch.randint(4, (30,), generator=generator).tolist()
    return [(1, 11, 111, 2)[pick] for pick in picks]


def counts_distinct_runs(distinct, generator):
    ids = some_ids(generator)
    for n in (2, 3):
        runs = [ids[i : i + n] for i in range(30 - n + 1)]
        different = [run for i, run in enumerate(runs) if run not in runs[:i]]
        value = distinct(list(ids), n)
        want_type(value, float, f"distinct(ids, {n})")
        if math.isclose(value, len(different) / len(runs)):
            continue
        apart = [tuple(ids[i : i + n]) for i in range(0, 30, n)]
        if math.isclose(value, len(set(ids)) / 30):
            raise Mistake("It counts single tokens; count runs of n tokens.")
        if math.isclose(value, len(set(apart)) / len(apart)):
            raise Mistake("The runs overlap: one starts at every token, not every n.")
        once = [run for run in runs if runs.count(run) == 1]
        if math.isclose(value, len(once) / len(runs)):
            raise Mistake(
                "It counts only the runs that come once. A run that comes twice is one "
                "different run too."
            )
        if math.isclose(value, len(different) / 30):
            raise Mistake(
                "Divide by the number of runs, which is not the number of ids."
            )
        short = [tuple(run) for run in runs[:-1]]
        if math.isclose(value, len(set(short)) / len(short)):
            raise Mistake("The last run is missing: it starts at len(ids) - n.")
        want_close(value, len(different) / len(runs), f"distinct({ids}, {n})")


def loops_score_low(distinct, generator):
    lap = torch.randperm(50, generator=generator)[:5].tolist()
    want_close(distinct(lap * 20, 3), 5 / 98, "distinct of five tokens twenty times")
    want_close(distinct(list(range(40)), 3), 1.0, "distinct of forty different tokens")


def short_texts_do_not_fail(distinct, generator):
    want_close(distinct([7, 8, 9], 3), 1.0, "distinct of one run")
    try:
        value = distinct([7], 3)
    except ZeroDivisionError:
        raise Mistake(
            "A text shorter than n divides by zero; give 1.0 for it."
        ) from None
    want_close(value, 1.0, "distinct of a text shorter than n")


def wrong_single(ids, n=3):
    return len(set(ids)) / len(ids) if len(ids) >= n else 1.0


def wrong_apart(ids, n=3):
    runs = [tuple(ids[i : i + n]) for i in range(0, len(ids), n)]
    return len(set(runs)) / len(runs)


def wrong_once(ids, n=3):
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return sum(runs.count(run) == 1 for run in runs) / len(runs) if runs else 1.0


def wrong_last_missing(ids, n=3):
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n)]
    return len(set(runs)) / len(runs) if runs else 1.0


def wrong_divisor(ids, n=3):
    runs = {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}
    return len(runs) / len(ids)


def wrong_short(ids, n=3):
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(runs)) / len(runs)


def wrong_repeated(ids, n=3):
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 1.0


DISTINCT = Exercise(
    id="00.distinct",
    title="measure repetition",
    minutes=8,
    rule=(
        "A run is `n` tokens in a row. Divide the number of different runs by the number "
        "of all runs. `[5, 6, 5, 6]` has three runs of two, (5, 6), (6, 5), (5, 6), and "
        "two of them are different: 2/3. Return a `float`; a text too short for a run "
        "counts as 1.0."
    ),
    reference=sampling.distinct,
    checks=(
        Check(
            name="counts different runs",
            points=2,
            proves="counts each different run of n tokens once",
            hint="`tuple(ids[i : i + n])` is a run, and a `set` keeps one of each.",
            run=counts_distinct_runs,
        ),
        Check(
            name="a loop scores low",
            points=1,
            proves="tells a text that goes round in circles from one that doesn't",
            hint="A text that repeats itself has few different runs among many.",
            run=loops_score_low,
        ),
        Check(
            name="short texts",
            points=1,
            proves="takes a text that is shorter than n",
            hint="How many runs of three are there in a text of one token?",
            run=short_texts_do_not_fail,
        ),
    ),
    wrong=(
        Wrong("single tokens", wrong_single, "count runs of n tokens"),
        Wrong("runs that do not overlap", wrong_apart, "The runs overlap"),
        Wrong("runs that come once", wrong_once, "only the runs that come once"),
        Wrong("the last run is missing", wrong_last_missing, "The last run is missing"),
        Wrong("the wrong divisor", wrong_divisor, "Divide by the number of runs"),
        Wrong("no short texts", wrong_short, "shorter than n"),
        Wrong("the share that repeats", wrong_repeated, "it should be"),
    ),
)


# 00.log_probability -----------------------------------------------------------------


def table_model(generator: torch.Generator):
    """A model small enough to work out by hand: logits depend on the last two ids.

    Returns the model, ids (1, T) → logits (1, T, V), and its table of log p (V, V, V).
    """
    logits = 3 * torch.randn(SIZE, SIZE, SIZE, generator=generator)

    def model(ids):
        before = torch.cat([ids[:, :1], ids[:, :-1]], dim=1)  # the first has none
        return logits[before, ids]

    return model, torch.log_softmax(logits, dim=-1)


def path_sum(log_p: torch.Tensor, ids: list[int]) -> float:
    """log p of ids by the table, one step at a time."""
    steps = zip([ids[0], *ids], ids, ids[1:])
    return sum(float(log_p[a, b, c]) for a, b, c in steps)


def sums_log_probabilities(log_probability, generator):
    model, log_p = table_model(generator)
    ids = torch.randint(SIZE, (9,), generator=generator).tolist()
    value = log_probability(model, list(ids))
    if isinstance(value, torch.Tensor):
        raise Mistake("It returns a tensor; turn the sum into a number with float(…).")
    want_type(value, float, "log_probability(model, ids)")
    right = path_sum(log_p, ids)
    rows = torch.log_softmax(model(torch.tensor([ids]))[0], dim=-1)  # (T, V)
    same = sum(float(rows[t, ids[t]]) for t in range(len(ids)))
    alone = sum(float(log_p[a, a, b]) for a, b in zip(ids, ids[1:]))
    if math.isclose(value, right, rel_tol=2e-5):
        return
    if math.isclose(value, alone, rel_tol=2e-5):
        raise Mistake(
            "It shows the model one token at a time. Each prediction reads all the tokens "
            "before it: give the model the whole text."
        )
    logits = model(torch.tensor([ids]))[0]
    raw = sum(float(logits[t - 1, ids[t]]) for t in range(1, len(ids)))
    if math.isclose(value, math.exp(right), rel_tol=2e-5):
        raise Mistake("This is the probability; return its logarithm.")
    if math.isclose(value, same, rel_tol=2e-5):
        raise Mistake(
            "It asks position t for token t. Off by one: position t predicts token t + 1."
        )
    if math.isclose(value, raw, rel_tol=2e-5):
        raise Mistake("It adds logits; log_softmax turns them into log probabilities.")
    if math.isclose(value, right / 8, rel_tol=2e-5):
        raise Mistake("This is the mean; the whole text's is the sum.")
    raise Mistake(f"It gives {value:.3f}; the table's own sum is {right:.3f}.")


def one_token_is_certain(log_probability, generator):
    model, _ = table_model(generator)
    value = log_probability(
        model, [int(torch.randint(SIZE, (1,), generator=generator))]
    )
    value = 0.0 if type(value) is int and value == 0 else value  # sum([]) is fine
    want_close(value, 0.0, "log_probability of a single token, nothing predicted,")


def long_texts_do_not_vanish(log_probability, generator):
    model, log_p = table_model(generator)
    ids = torch.randint(SIZE, (600,), generator=generator).tolist()
    value = log_probability(model, list(ids))
    if value == -math.inf or value == 0.0:
        raise Mistake(
            "On 600 tokens the product rounded to zero. Add logarithms, never multiply."
        )
    want_close(value, path_sum(log_p, ids), "log_probability of 600 tokens", 1e-3)


def _log_p(model, ids):
    return torch.log_softmax(model(torch.tensor([ids]))[0], dim=-1)


def wrong_product(model, ids):
    p = _log_p(model, ids).exp()
    product = 1.0
    for t in range(1, len(ids)):
        product *= float(p[t - 1, ids[t]])
    return product


def wrong_product_then_log(model, ids):
    product = wrong_product(model, ids)
    return math.log(product) if product > 0 else -math.inf


def wrong_same_position(model, ids):
    log_p = _log_p(model, ids)
    return float(sum(log_p[t, ids[t]] for t in range(len(ids))))


def wrong_logits(model, ids):
    logits = model(torch.tensor([ids]))[0]
    return sum(float(logits[t - 1, ids[t]]) for t in range(1, len(ids)))


def wrong_mean(model, ids):
    log_p = _log_p(model, ids)
    steps = range(1, len(ids))
    return sum(float(log_p[t - 1, ids[t]]) for t in steps) / max(1, len(steps))


def wrong_first_token_too(model, ids):
    log_p = _log_p(model, ids)
    return sum(float(log_p[t - 1, ids[t]]) for t in range(len(ids)))


def wrong_one_token_at_a_time(model, ids):
    total = 0.0
    for a, b in zip(ids, ids[1:]):
        total += float(_log_p(model, [a])[-1, b])
    return total


LOG_PROBABILITY = Exercise(
    id="00.log_probability",
    title="how likely is a whole sentence?",
    minutes=15,
    rule=(
        "Add up log p(token | all tokens before it) over every token but the first. "
        "`model(torch.tensor([ids], device=devices.where(model)))` gives logits of shape "
        "(1, T, V), one text, T positions, V tokens: row `t` scores the token *after* "
        "position `t`. `torch.log_softmax(…, dim=-1)` turns logits into "
        "logarithms of probabilities. Return a `float`."
    ),
    reference=sampling.log_probability,
    checks=(
        Check(
            name="sums log probabilities",
            points=2,
            proves="adds log p of each token given those before it",
            hint="Token `ids[t]` is predicted by row `t - 1`. With the text in front, "
            "`log_p[0, t - 1, ids[t]]` is its log p.",
            run=sums_log_probabilities,
        ),
        Check(
            name="one token",
            points=1,
            proves="says 0 where nothing was predicted",
            hint="How many predictions are there in a text of one token?",
            run=one_token_is_certain,
        ),
        Check(
            name="long texts",
            points=1,
            proves="survives 600 tokens",
            hint="0.1 multiplied by itself 400 times is 0 to a computer.",
            run=long_texts_do_not_vanish,
        ),
    ),
    wrong=(
        Wrong("the probability itself", wrong_product, "return its logarithm"),
        Wrong("log of a product", wrong_product_then_log, "never multiply"),
        Wrong("token t from position t", wrong_same_position, "Off by one"),
        Wrong("logits", wrong_logits, "log_softmax"),
        Wrong("the mean", wrong_mean, "This is the mean"),
        Wrong(
            "one token at a time", wrong_one_token_at_a_time, "give the model the whole"
        ),
        Wrong("the first token too", wrong_first_token_too, "the table's own sum"),
    ),
)


# 00.pirate_script -------------------------------------------------------------------


def pirate_script(question: str) -> str:
    """A script in which a pirate is about to answer a question."""
    return (
        "The following is a conversation between a User and an old Pirate, who answers "
        "every question in pirate talk, with Arr, matey and aye.\n\n"
        f"User: {question}\nPirate: Arr,"
    )


def some_question(generator: torch.Generator) -> str:
    topics = ["a kraken", "rope", "the moon", "soup", "fog", "a parrot", "maps"]
    number = int(torch.randint(900, (1,), generator=generator)) + 100
    topic = topics[int(torch.randint(len(topics), (1,), generator=generator))]
    return f"Tell me {number} things about {topic}?"


def asks_the_question(script, generator):
    for question in (some_question(generator), some_question(generator)):
        text = script(question)
        want_type(text, str, "pirate_script(question)")
        if text.count(question) == 0:
            raise Mistake(
                'The question is not in the script. Did you forget the f in f"…"?'
            )
        if text.count(question) > 1:
            raise Mistake("The question stands in the script more than once.")


def leaves_the_answer_open(script, generator):
    question = some_question(generator)
    text = script(question)
    want_type(text, str, "pirate_script(question)")
    rest = text[text.find(question) + len(question) :] if question in text else text
    if not rest.strip():
        raise Mistake(
            "The script ends with the question, so the model goes on asking. End it with "
            "the next speaker's name and a colon."
        )
    turn = text.endswith("assistant\n")  # a chat template ends with the line's end
    if text != text.rstrip() and not turn:
        raise Mistake(
            "It ends in white space. Tokens carry the space in front of them, so a space "
            "at the end leaves the model with a beginning it has seldom seen."
        )
    if rest.rstrip().lower().endswith("user:"):
        raise Mistake("It ends with the user's name: the model will ask, not answer.")
    if ":" not in rest and not turn:
        raise Mistake("After the question, name the one who answers, with a colon.")
    if len(rest.split()) > 8:
        raise Mistake("You have written the answer yourself; leave it to the model.")


def sets_the_scene(script, generator):
    question = some_question(generator)
    text = script(question)
    want_type(text, str, "pirate_script(question)")
    before = text[: text.find(question)] if question in text else text
    if "pirate" not in before.lower():
        raise Mistake(
            "Nothing before the question speaks of a pirate. The model only knows what "
            "the script tells it: set the scene first."
        )


def wrong_no_question(question):
    return "A pirate answers a User.\n\nUser: {question}\nPirate:"


def wrong_ends_with_question(question):
    return f"A pirate answers a User.\n\nUser: {question}"


def wrong_trailing_space(question):
    return f"A pirate answers a User.\n\nUser: {question}\nPirate: "


def wrong_no_scene(question):
    return f"User: {question}\nAssistant:"


def wrong_writes_answer(question):
    return (
        f"A pirate answers a User.\n\nUser: {question}\n"
        "Pirate: Arr, matey, that be a fine thing to ask an old sailor like me."
    )


def wrong_users_turn(question):
    return f"A pirate answers a User.\n\nUser: {question}\nUser:"


def wrong_twice(question):
    return f"A pirate is asked: {question}\n\nUser: {question}\nPirate:"


PIRATE = Exercise(
    id="00.pirate_script",
    title="make the script answer as a pirate",
    minutes=10,
    rule=(
        "Write a function that turns a question into a script which the model is likely to "
        "finish as a pirate. Say “pirate” before the question, put the question in once, "
        "and end with the speaker's name and a colon, with no space after. A few opening "
        "words such as “Arr,” are allowed. Then run the cell below the check."
    ),
    reference=pirate_script,
    checks=(
        Check(
            name="asks the question",
            points=1,
            proves="puts any question into the script, once",
            hint='`f"User: {question}"` puts the question in.',
            run=asks_the_question,
        ),
        Check(
            name="leaves the answer open",
            points=1,
            proves="stops where the pirate begins to speak",
            hint="The last characters decide who speaks. End in a name and a colon, with "
            "no space after.",
            run=leaves_the_answer_open,
        ),
        Check(
            name="sets the scene",
            points=1,
            proves="tells the model that a pirate is speaking",
            hint="What would you write above a scene in a play?",
            run=sets_the_scene,
        ),
    ),
    wrong=(
        Wrong("the question is missing", wrong_no_question, "forget the f"),
        Wrong("ends with the question", wrong_ends_with_question, "goes on asking"),
        Wrong("a space at the end", wrong_trailing_space, "white space"),
        Wrong("no scene", wrong_no_scene, "set the scene"),
        Wrong("writes the answer", wrong_writes_answer, "leave it to the model"),
        Wrong("the user's turn", wrong_users_turn, "the model will ask"),
        Wrong("the question twice", wrong_twice, "more than once"),
    ),
)

EXERCISES = (SAMPLE, DISTINCT, LOG_PROBABILITY, PIRATE)
