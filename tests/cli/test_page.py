"""The page of a trained model, as a file: what it holds, and what it refuses."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from course_lib import pretrained, tokenizer
from course_lib.cli import page
from course_lib.cli.commands import run_page
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.fast_gpt import FastGPT
from course_lib.gpt import GPT, GPTConfig
from tests.pages import saved


@pytest.fixture
def run(tmp_path):
    return saved("characters", tmp_path)


def parts_of(text: str) -> dict[str, str]:
    """What stands in the page's elements that have an id and hold no HTML."""
    found = re.findall(r'(?s)<script type="[^"]+" id="([^"]+)">(.*?)</script>', text)
    return dict(found)


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_the_page_holds_the_model_and_little_more(run, tmp_path, precision):
    out = tmp_path / "new" / "my_model.html"
    size = page.write(str(run), out, precision)
    text = out.read_text("utf-8")
    assert size == out.stat().st_size and not list(out.parent.glob("*.part"))
    model, encoding, _ = pretrained.trained(run)
    count = pretrained.parameters(model)
    bytes_each = {"float16": 2, "float32": 4}[precision]
    assert size <= 1.5 * bytes_each * count + 300_000
    held = parts_of(text)
    facts = json.loads(held["facts"])
    assert sum(length for _, length in facts["parts"]) == count
    numbers = np.frombuffer(base64.b64decode(held["weights"]), f"<f{bytes_each}")
    start = 0
    for name, length in facts["parts"]:
        wanted = model.get_parameter(name).flatten().numpy()
        error = np.abs(numbers[start : start + length] - wanted).max()
        assert error <= (1e-3 if precision == "float16" else 0)
        start += length
    assert f"{count:,} weights" in text and encoding.symbols == facts["characters"]


def test_only_the_page_s_own_code_may_run_and_nothing_may_be_asked_for(run, tmp_path):
    page.write(
        str(run), tmp_path / "a.html", title="<b>Mine & yours</b>", prompt="</a>"
    )
    text = (tmp_path / "a.html").read_text("utf-8")
    (policy,) = re.findall(r'Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    for element, named in (("script", r"<script>"), ("style", r"<style>")):
        (code,) = re.findall(rf"(?s){named}(.*?)</{element}>", text)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "&lt;b&gt;Mine &amp; yours" in text and "<b>Mine" not in text
    assert "&lt;/a&gt;</textarea>" in text
    outside = re.findall(r"""(?:src|href|url\()=?["']?(https?:[^"')\s]+)""", text)
    assert len(outside) == 1  # the link to the lessons, which is followed by hand only


def test_no_token_can_end_the_element_that_holds_it(tmp_path):
    symbols = "</script>!-"
    encoding = tokenizer.Characters.train(symbols)
    model = GPT(GPTConfig(encoding.vocabulary, 8, 1, 8, 2), generator=generator(0))
    about = pretrained.about(model, encoding, {"text": "<script>alert(1)</script>"})
    run = saved(model, tmp_path, about)
    page.write(str(run), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text("utf-8")
    assert json.loads(parts_of(text)["facts"])["characters"] == encoding.symbols
    assert "<script>alert" not in text and text.count("</script>") == 4


def other_kind(tmp_path):
    model = GPT(GPTConfig(20, 8, 1, 8, 2), generator=generator(0))
    return saved(model, tmp_path, {"kind": "other", "shape": {}})


def foreign(tmp_path):
    model = GPT(GPTConfig(50_257, 8, 1, 8, 2), generator=generator(0))
    return saved(model, tmp_path, pretrained.about(model, tokenizer.gpt2(), {}))


def too_large(tmp_path):
    encoding = tokenizer.Characters.train("ab")
    model = GPT(GPTConfig(2, 8, 7, 512, 8), generator=generator(0))
    return saved(model, tmp_path, pretrained.about(model, encoding, {}))


def too_long_weights(tmp_path):
    encoding = tokenizer.Characters.train("ab")
    model = FastGPT(GPTConfig(2, 8, 1, 8, 2))
    model.unembedding.weight.data[0, 0] = 1e6
    return saved(model, tmp_path, pretrained.about(model, encoding, {}))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "vocabulary"),
        (too_large, "22,"),
        (too_long_weights, "--precision float32"),
        (other_kind, "class that is not this course's own"),
        (lambda folder: folder / "none", "no file"),
    ],
)
def test_what_a_page_cannot_do_is_said_in_the_command(make, words, tmp_path):
    out = tmp_path / "a.html"
    with pytest.raises(Problem, match=re.escape(words)):
        page.write(str(make(tmp_path)), out)
    assert not out.exists()


def test_the_command_writes_a_page_and_says_so(run, tmp_path, capsys):
    from course_lib.cli import parser

    words = ["page", str(run), "-o", str(tmp_path / "a.html"), "--prompt", "One"]
    assert run_page(parser.parser().parse_args(words)) == 0
    assert "a.html: 0." in capsys.readouterr().out
    words[3] = str(tmp_path / "a.txt")
    with pytest.raises(Problem, match="html"):
        run_page(parser.parser().parse_args(words))
