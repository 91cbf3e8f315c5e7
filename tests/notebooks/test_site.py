"""The site: every page whole, every link and every word in place, nothing from outside.

The oracles are Python's own HTML parser and the notebooks' files; a real browser reads
the pages in slow/test_site_in_browser.py.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.notebooks import site

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LESSONS = [path.stem for path in NOTEBOOKS]
MORE = ["claims", "glossary", "search"]
PAGES = ["index", *MORE, *LESSONS]
VOID = {"meta", "link", "img", "br", "hr", "input", "wbr"}
HOSTS = {"github.com", "colab.research.google.com"}  # where a link may lead
BLOB = f"{site.ADDRESS}/blob/main"

every_page = pytest.mark.parametrize("name", PAGES)
every_lesson = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


class Page(HTMLParser):
    """A page's elements in order, as (name, attributes); its ids; its texts."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements, self.open, self.mistakes = [], [], []
        self.pres, self.captions, self.heads = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.mistakes += [f"<{name}> is never closed" for name in self.open]

    def handle_starttag(self, name, attributes):
        doubled = len(dict(attributes)) < len(attributes)
        self.mistakes += [f"<{name}> has an attribute twice"] * doubled
        self.elements.append((name, dict(attributes)))
        into = {"pre": self.pres, "figcaption": self.captions}
        into |= dict.fromkeys(("h1", "h2", "h3"), self.heads)
        if name in into:
            into[name].append("")
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if name not in VOID and (not self.open or self.open.pop() != name):
            self.mistakes.append(f"</{name}> closes another element")

    def handle_data(self, text):
        for names, texts in (
            (["pre"], self.pres),
            (["figcaption"], self.captions),
            (["h1", "h2", "h3"], self.heads),
        ):
            if set(names) & set(self.open):
                texts[-1] += text

    def all(self, name: str) -> list[dict]:
        """The attributes of all elements of that name."""
        return [attributes for one, attributes in self.elements if one == name]

    @property
    def ids(self) -> list[str]:
        return [a["id"] for _, a in self.elements if "id" in a]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The whole site, built once, in a folder whose parent is not there yet."""
    out = tmp_path_factory.mktemp("site") / "new" / "out"
    site.build(out, bar=False)
    return out


@pytest.fixture(scope="module")
def pages(built) -> dict[str, Page]:
    """Every page, parsed."""
    return {path.stem: Page(path) for path in built.glob("*.html")}


# Pages --------------------------------------------------------------------------------


def test_a_page_for_each_lesson_and_nothing_left_beside(built, pages):
    assert sorted(pages) == sorted(PAGES)
    assert [path.name for path in built.parent.iterdir()] == ["out"]
    listed = (built / site.LIST).read_text(encoding="utf-8").split()
    assert sorted(listed) == site.files(built)


@every_page
def test_page_is_whole(pages, name):
    page = pages[name]
    assert page.mistakes == []
    assert len(page.ids) == len(set(page.ids))
    assert page.all("html") == [{"lang": "en"}]
    for once in ("h1", "main", "title", "footer"):
        assert len(page.all(once)) == 1, once
    assert {"charset": "utf-8"} in page.all("meta")
    levels = [int(one[1]) for one, _ in page.elements if re.fullmatch("h[1-6]", one)]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:]))
    labels = [nav["aria-label"] for nav in page.all("nav")]
    assert len(labels) == len(set(labels)) == (2 if name in LESSONS else 0)


def test_the_parser_notices_mistakes(tmp_path):
    for html, mistake in (
        ("<p><b>x</p>", "closes another"),
        ("<div>", "never closed"),
        ("<p id='a' id='b'></p>", "twice"),
    ):
        (tmp_path / "page").write_text(html)
        assert mistake in " ".join(Page(tmp_path / "page").mistakes)


@every_page
def test_every_picture_is_there_and_described(pages, built, name):
    pictures = pages[name].all("img")
    assert len(pictures) > (0 if name in MORE else 3)
    for picture in pictures:
        assert (built / picture["src"]).is_file()
        assert picture["src"] == "icon.svg" or len(picture["alt"]) > 10


@every_page
def test_nothing_comes_from_elsewhere(pages, built, name):
    """No address of another host, no frame, and no script but that of the search, which
    is a file beside it: what a page loads is beside it."""
    page = pages[name]
    scripts = [{"src": "search.js", "defer": None}] if name == "search" else []
    assert page.all("script") == scripts
    for wanted in ("iframe", "object", "embed", "base", "style", "form"):
        assert page.all(wanted) == []
    for element, attributes in page.elements:
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        for key in {"src", "srcset", "data", "poster", "background"} & set(attributes):
            assert (built / attributes[key]).is_file()
        if element == "link":
            assert (built / attributes["href"]).is_file()


def test_the_style_sheet_and_the_icon_load_nothing(built):
    for name in site.COPIED:
        text = (built / name).read_text(encoding="utf-8")
        text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")  # only a name
        text = re.sub(r"(?m)^\s*// .*$", "", text)  # a remark in a script
        assert not re.search(r"url\(|@import|//|<script|href|fetch|eval", text), name


@every_page
def test_every_link_leads_somewhere(pages, built, name):
    page = pages[name]
    links = [a["href"] for a in page.all("a")]
    assert len(links) > 5
    for link in links:
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https" and parts.hostname in HOSTS, link
            in_the_repository(link)
        elif parts.path.startswith("pictures/"):
            assert (built / parts.path).is_file(), link
        else:
            target = pages[Path(parts.path).stem] if parts.path else page
            assert not parts.path or (built / parts.path).is_file(), link
            assert not parts.fragment or parts.fragment in target.ids, link


def in_the_repository(link: str) -> None:
    """Assert that a link to the repository names a file or folder that it has."""
    assert link.startswith((site.ADDRESS, "https://colab.research.google.com/github/"))
    if found := re.search(r"/(blob|tree)/main/(.+)", link):
        target = ROOT / found[2]
        assert target.is_dir() if found[1] == "tree" else target.is_file(), link


def test_before_and_after(pages):
    """From each lesson to the one before and the one after, and to the contents."""
    for i, name in enumerate(LESSONS):
        ways = {"prev": LESSONS[:i][-1:], "next": LESSONS[i + 1 :][:1]}
        for rel, names in ways.items():
            for element in ("a", "link"):
                found = [a for a in pages[name].all(element) if a.get("rel") == rel]
                assert [a["href"] for a in found] == [f"{n}.html" for n in names]
        assert {"href": "index.html"} in pages[name].all("a")


# What the notebooks hold is what the pages show ---------------------------------------


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def fences(text: str) -> list[str]:
    return re.findall(r"(?ms)^```\w*\n(.*?)^```", text)


def preformatted(path: Path) -> Iterator[str]:
    """All code and all printed text of a notebook, in order."""
    for cell in cells(path):
        source = "".join(cell["source"])
        yield from [source] if cell["cell_type"] == "code" else fences(source)
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                yield "".join(output["text"])


def shown(path: Path) -> list[dict]:
    """The metadata and bytes of a notebook's pictures, in order."""
    outputs = [o for cell in cells(path) for o in cell.get("outputs", [])]
    return [
        o["metadata"]["image/png"]
        | {"png": base64.b64decode("".join(o["data"]["image/png"]))}
        for o in outputs
        if "image/png" in o.get("data", {})
    ]


@every_lesson
def test_all_code_and_all_that_it_printed_is_shown(pages, path):
    wanted = [text.strip("\n") for text in preformatted(path)]
    assert [text.strip("\n") for text in pages[path.stem].pres] == wanted


@every_lesson
def test_all_pictures_are_shown_with_their_captions(pages, built, path):
    page, wanted = pages[path.stem], shown(path)
    pictures = [p for p in page.all("img") if p["src"] != "icon.svg"]
    assert len(pictures) == len(wanted) == len({p["src"] for p in pictures})
    for picture, caption, one in zip(pictures, page.captions, wanted):
        assert (built / picture["src"]).read_bytes() == one["png"]
        assert picture["alt"] == one["alt"] == caption.strip()
        assert int(picture["width"]) == one["width"]
        assert int(picture["height"]) == one["height"]
    assert len(page.captions) == len(wanted)


@every_lesson
def test_all_headings_and_folded_parts_are_shown(pages, path):
    page = pages[path.stem]
    texts = ["".join(c["source"]) for c in cells(path) if c["cell_type"] == "markdown"]
    prose = re.sub(r"(?ms)^```.*?^```", "", "\n".join(texts))
    heads = re.findall(r"(?m)^#+ (.+)$", prose)
    assert page.heads == heads
    opened = nbformat.read(path, as_version=4)
    site.fold(opened)
    folded = sum("folded" in cell.metadata for cell in opened.cells)
    wanted = prose.count("<details>") + 1 + folded  # the set-up, and what tells
    assert len(page.all("details")) == wanted
    assert {cell["id"] for cell in cells(path)} <= set(page.ids)
    contents = [a["href"] for a in page.all("a") if a["href"].startswith("#")]
    assert len(contents) == len(heads)  # the title is the skip link's
    assert contents == ["#the_page", *dict.fromkeys(contents[1:])]


def test_the_contents_page_is_the_readmes_table(built, pages):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    html = (built / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", unescape(re.sub("<[^>]+>", " ", html)))
    place = 0
    for name in LESSONS:
        row = re.search(rf"(?m)^\|.+\(notebooks/{name}\.ipynb\) \|(.+)\|$", readme)[1]
        question, build, minutes, seconds = map(str.strip, row.split("|"))
        for words in (name[:2], question, build, f"{minutes} min", f"{seconds} sec"):
            assert words in text[place:], words
            place = text.index(words, place)
        assert {"href": f"{name}.html"} in pages["index"].all("a")
    assert "python -m course_lib lab" in text


def test_no_prose_is_left_as_markdown(built):
    for name in PAGES:
        html = (built / f"{name}.html").read_text(encoding="utf-8")
        prose = re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", html)
        assert not re.search(r"\*\*|```|\]\(|\{\{|\{%", prose), name


# Links, formulas, tables ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("05_transformer.ipynb", "05_transformer.html"),
        ("05_transformer.ipynb#s1", "05_transformer.html#s1"),
        ("../course_lib/gpt.py", f"{BLOB}/course_lib/gpt.py"),
        ("../course_lib/", f"{site.ADDRESS}/tree/main/course_lib"),
        ("../README.md", f"{BLOB}/README.md"),
        ("../nowhere.md", "../nowhere.md"),  # which the test of links would find
        ("https://example.org/a.ipynb", "https://example.org/a.ipynb"),
        ("#s1", "#s1"),
        ("index.html#two_commands", "index.html#two_commands"),
        (
            "../tests/notebooks/broken/whole.ipynb",
            f"{BLOB}/tests/notebooks/broken/whole.ipynb",
        ),
        ("../../outside.txt", "../../outside.txt"),
        ("../..", "../.."),
    ],
)
def test_links_of_a_lesson(link, wanted):
    html = site.finish(f'<p><a href="{link}">x</a></p>', site.FOLDER)
    assert html == f'<p><a href="{wanted}">x</a></p>'


def test_code_that_names_a_file_leads_to_it():

    def finish(name):
        return site.finish(f"<p><code>{name}</code></p>", ROOT)

    link = f'<a href="{BLOB}/course_lib/gpt.py">'
    assert (
        finish("course_lib/gpt.py")
        == f"<p>{link}<code>course_lib/gpt.py</code></a></p>"
    )
    assert "/tree/main/assets" in finish("assets/")
    for name in (
        "/",
        "//",
        "x / y",
        "course_lib/none.py",
        "course_lib/../..",
        "gpt.py",
    ):
        assert "href" not in finish(name)
    listing = "<pre><code>course_lib/gpt.py</code></pre>"
    assert site.finish(listing, ROOT) == listing


@pytest.mark.parametrize(
    ("tex", "element"),
    [
        ("$x^2$", "msup"),
        ("$$\nx_i\n$$", "msub"),
        (r"$\frac{QK^\top}{\sqrt{D}}$", "mfrac"),
        (r"$\frac{\partial L}{\partial w}$", "mfrac"),
    ],
)
def test_a_formula_in_tex_becomes_mathml(tex, element):
    html = site.finish(f"<p>so {tex} is</p>", ROOT)
    assert f"<{element}>" in html and "$" not in html
    assert 'aria-label="' in html and "</math></span> is</p>" in html
    code = site.finish(f"<pre>{tex}</pre><p>5 $ or <code>{tex}</code></p>", ROOT)
    assert "<math" not in code and tex in code


@pytest.mark.parametrize(
    "tex", [r"$x_1_2$", r"$\foo{x}$", r"\begin{align}x\end{align}"]
)
def test_a_formula_that_cannot_be_read_is_refused(tex):
    with pytest.raises(Problem, match="can't typeset"):
        site.finish(f"<p>so {tex} is</p>", ROOT)


def test_what_answers_a_guess_is_folded():
    """From the cell after the guess to the one that tells, and no further."""
    new, code = nbformat.v4.new_notebook(), nbformat.v4.new_code_cell
    out = [nbformat.v4.new_output("stream", text="0.18")]
    tags = ["guess", "", "reveal", ""]
    new.cells = [code("x", metadata={"tags": [t] * bool(t)}, outputs=out) for t in tags]
    site.fold(new)
    assert ["folded" in c.metadata for c in new.cells] == [False, True, True, False]
    lesson = {"lesson": {"number": "00"}, "sections": [], "before": None, "after": None}
    html, _ = site.exporter(ROOT).from_notebook_node(new, resources=lesson)
    assert html.count("Make your guess, then open") == 2


def test_the_search_finds_sections_claims_and_words(built):
    html = (built / "search.html").read_text(encoding="utf-8")
    assert html.count("<li data-text=") > 200
    for kind in ("Lesson 00", "Claim", "Word"):
        assert f">{kind}</span>" in html
    assert 'href="glossary.html#attention-03"' in html
    assert re.search(r'<li data-text="[^"]*softmax', html)


def test_a_table_without_a_head_has_names_of_rows():
    html = "<table><thead><tr><th></th><th> </th></tr></thead><tbody>"
    html += "<tr><td><b>Time</b></td><td>1</td></tr></tbody></table>"
    wanted = '<table><tbody><tr><th scope="row"><b>Time</b></th><td>1</td></tr>'
    box = '<div class="table">'
    assert site.finish(html, ROOT) == f"{box}{wanted}</tbody></table></div>"
    with_head = html.replace("<th></th>", "<th>a</th>")
    assert site.finish(with_head, ROOT) == f"{box}{with_head}</div>"


# Where it goes ---------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """A site of two files, written at once."""

    def write_all(folder, bar, model, widgets):
        folder.mkdir()
        (folder / "index.html").write_text("new")
        (folder / site.LIST).write_text(f"index.html\n{site.LIST}\n")

    monkeypatch.setattr(site, "write_all", write_all)


def contents(folder: Path) -> dict[str, str]:
    return {n: (folder / n).read_text() for n in site.files(folder)}


def old_site(folder: Path) -> dict[str, str]:
    """A site of before, with a page that there is no more."""
    folder.mkdir()
    (folder / "index.html").write_text("old")
    (folder / "99_gone.html").write_text("old")
    (folder / site.LIST).write_text(f"index.html\n99_gone.html\n{site.LIST}\n")
    return contents(folder)


def test_a_site_of_before_is_replaced_whole(quick, tmp_path):
    old_site(tmp_path / "out")
    site.build(tmp_path / "out", bar=False)
    assert sorted(contents(tmp_path / "out")) == ["index.html", site.LIST]
    assert (tmp_path / "out" / "index.html").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(quick, tmp_path):
    (tmp_path / "out").mkdir()
    site.build(tmp_path / "out", bar=False)
    assert (tmp_path / "out" / "index.html").read_text() == "new"


@pytest.mark.parametrize("stranger", ["CNAME", ".git/config", "pictures/mine.png"])
def test_a_folder_with_anything_else_is_left_alone(quick, tmp_path, stranger):
    for out in (tmp_path / "site", tmp_path / "folder"):
        old_site(out) if out.name == "site" else out.mkdir()
        (out / stranger).parent.mkdir(exist_ok=True)
        (out / stranger).write_text("mine")
        before = contents(out)
        with pytest.raises(Problem, match=rf"{stranger}, which .* Move it away, or"):
            site.build(out, bar=False)
        assert contents(out) == before


def test_a_file_that_comes_while_pages_are_written_is_left_alone(
    quick, monkeypatch, tmp_path
):
    old_site(tmp_path / "out")
    write_all = site.write_all

    def meanwhile(folder, bar, model, widgets):
        write_all(folder, bar, model, widgets)
        (tmp_path / "out" / "CNAME").write_text("mine")

    monkeypatch.setattr(site, "write_all", meanwhile)
    with pytest.raises(Problem, match="holds CNAME"):
        site.build(tmp_path / "out", bar=False)
    assert (tmp_path / "out" / "CNAME").read_text() == "mine"
    assert (tmp_path / "out" / "index.html").read_text() == "old"


def test_places_that_cannot_be(quick, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Problem, match="is a file: name a folder"):
        site.build(tmp_path / "file", bar=False)
    with pytest.raises(Problem, match=r"could not be written: .* name another folder"):
        site.build(tmp_path / "file" / "out", bar=False)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), Problem),
        (Problem("no"), Problem),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("step", ["write_all", "rename"])
def test_a_failure_leaves_the_old_site_whole(
    monkeypatch, tmp_path, step, error, raised
):
    before = old_site(tmp_path / "out")
    rename = Path.rename

    def fail_to_write(folder, bar, model, widgets):
        folder.mkdir()
        (folder / "index.html").write_text("ne")
        if step == "write_all":
            raise error

    def fail_to_rename(path, target):
        if step == "rename" and path.name == "new":
            raise error
        return rename(path, target)

    monkeypatch.setattr(site, "write_all", fail_to_write)
    monkeypatch.setattr(Path, "rename", fail_to_rename)
    with pytest.raises(raised):
        site.build(tmp_path / "out", bar=False)
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_nbconvert_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nbconvert", None)
    with pytest.raises(Problem, match=r"needs nbconvert.*python -m course_lib lab"):
        site.build(tmp_path / "out", bar=False)
    assert list(tmp_path.iterdir()) == []


def test_a_readme_that_does_not_fit_is_refused():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = site.table(readme, NOTEBOOKS)
    assert [lesson.page for lesson in rows] == [f"{name}.html" for name in LESSONS]
    with pytest.raises(Problem, match=r"README.md's table .* Make them agree"):
        site.table(readme, [*NOTEBOOKS, Path("99_new.ipynb")])
    with pytest.raises(Problem, match="no section 'Nothing'"):
        site.section(readme, "Nothing")


def test_a_lesson_without_outputs_is_refused(tmp_path):
    lesson = site.Lesson(NOTEBOOKS[0], "?", "", 1, 1)
    empty = site.nbformat.v4.new_notebook()
    with pytest.raises(Problem, match=r"without outputs.* refresh 00"):
        site.take_pictures(empty, lesson, tmp_path)


def test_the_command_line(tmp_path):
    def run(*words):
        line = [sys.executable, "-m", "course_lib", "site", *map(str, words)]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)

    helped = run("--help")
    assert helped.returncode == 0 and "OUT" in helped.stdout
    (tmp_path / "mine").write_text("x")
    refused = run(tmp_path)
    assert refused.returncode == 1 and refused.stdout == ""
    assert re.fullmatch(r"course_lib: .+ holds mine, which .+\n", refused.stderr)
    assert run().returncode == 2
