"""Turn the lessons into web pages: one a lesson, and a contents page.

Plain files, without a request to any other place: a folder of them reads well from a
disk, from a school's server and from any host of pages. Nothing is run: a page shows
what the notebook holds. One script, of the search, hides what does not match. What moves
stands in frames: a model, and the widgets that can do without a kernel (`live.py`).
`python -m course_lib site OUT` does it all; how the pages look is in `site_template/`.
"""

import base64
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from nbformat import NotebookNode
from tqdm import tqdm

from course_lib.errors import Problem
from course_lib.files import ROOT, address
from course_lib.notebooks import ledger, live
from course_lib.notebooks.cells import one_a_lesson
from course_lib.notebooks.live import Live

FOLDER = ROOT / "notebooks"
TEMPLATE = Path(__file__).parent / "site_template"
MODEL = "model.html"  # the page that the site opens with
ADDRESS = address()
COPIED = ("style.css", "icon.svg", "search.js")  # from site_template/, as they are
LIST = "site-files.txt"  # in every site: the names of what was written
# The first that an output has is shown; whatever it is, it has the last.
SHOWN = ["image/png", "text/markdown", "text/plain"]
ROW = r"\| \[\d\d\]\(notebooks/(.+?)\) \| (.+?) \| (.+?) \| (\d+) \| (\d+) \|"


@dataclass(frozen=True)
class Lesson:
    """A row of the README's table of lessons, and the lesson's first picture."""

    path: Path
    question: str
    build: str  # Markdown
    minutes: int
    seconds: int
    picture: str = ""  # its address on the site
    alt: str = ""
    height: int = 0  # of the picture, at a width of 768

    @property
    def number(self) -> str:
        """Its two digits."""
        return self.path.name[:2]

    @property
    def page(self) -> str:
        """The name of its page."""
        return f"{self.path.stem}.html"


# What is read ------------------------------------------------------------------------


def section(readme: str, title: str) -> str:
    """The Markdown below one of the README's headings. Raises Problem without it."""
    found = re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme)
    if not found:
        raise Problem(f"README.md has no section {title!r}, which the site shows.")
    return found[1].strip()


def table(readme: str, paths: list[Path]) -> list[Lesson]:
    """The README's table of lessons, one row a notebook.

    Raises Problem if a notebook has no row or a row has no notebook.
    """
    rows = re.findall(ROW, section(readme, "The lessons"))
    names = [name for name, *_ in rows]
    if names != [path.name for path in paths]:
        raise Problem(
            f"README.md's table of lessons has {', '.join(names) or 'no row'}, but "
            f"notebooks/ has {', '.join(path.name for path in paths)}. Make them agree."
        )
    return [
        Lesson(path, question, build, int(minutes), int(seconds))
        for path, (_, question, build, minutes, seconds) in zip(paths, rows)
    ]


def sections(notebook: NotebookNode) -> list[dict]:
    """What a lesson's list of contents shows: {"id", "text", "level"} for each heading.

    The id is that of the heading's cell, which stays when words change.
    """
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"(?ms)^```.*?^```", "", cell.source)  # code has # comments
            for marks, text in re.findall(r"(?m)^(##+) (.+)$", prose):
                text = re.sub("[`*]", "", text)
                found.append({"id": cell.id, "text": text, "level": len(marks)})
    return found


def fold(notebook: NotebookNode) -> None:
    """Mark, in its metadata, each cell whose outputs would give a guess away: from the
    cell after a guess's place to the one that tells."""
    open_guess = False
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            if open_guess and cell.outputs:
                cell.metadata["folded"] = True
            open_guess = "guess" in tags or (open_guess and "reveal" not in tags)


# What is written ---------------------------------------------------------------------


def exporter(base: Path):
    """nbconvert's exporter with our template, for prose whose links start at `base`.

    Raises Problem if nbconvert is missing.
    """
    try:
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise Problem(
            "The site needs nbconvert, which comes with JupyterLab. "
            "First run: python -m course_lib lab"
        ) from error
    from traitlets.config import Config

    convert = HTMLExporter(
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_anchor_links=True,
        config=Config(NbConvertBase={"display_data_priority": SHOWN}),
    )
    convert.register_filter("finish", partial(finish, base=base))
    return convert


def take_pictures(notebook: NotebookNode, lesson: Lesson, folder: Path) -> list[dict]:
    """Write a lesson's pictures to files; return how to show each.

    That is {"file", "alt", "width", "height"}, and each output's metadata holds it too.
    Raises Problem if there is no picture.
    """
    taken = []
    (folder / "pictures").mkdir(exist_ok=True)
    for cell in notebook.cells:
        for i, output in enumerate(cell.get("outputs", [])):
            if "image/png" in output.get("data", {}):
                look = output.metadata["image/png"]
                end = f"-{i}" if i else ""
                look["file"] = f"pictures/{lesson.number}-{cell.id}{end}.png"
                png = base64.b64decode(output.data["image/png"])
                (folder / look["file"]).write_bytes(png)
                taken.append(look)
    if not taken:
        raise Problem(
            f"{lesson.path.name} was saved without outputs. "
            f"First run: python -m course_lib refresh {lesson.number}"
        )
    return taken


def repository_address(path: Path) -> str:
    """Where the web shows a file or folder of the repository."""
    kind = "tree" if path.is_dir() else "blob"
    return f"{ADDRESS}/{kind}/main/{path.relative_to(ROOT).as_posix()}"


def address(link: str, base: Path) -> str:
    """Where a link of a file in `base` leads on the site.

    A lesson's notebook becomes its page, another file of the repository its place on
    the web; whatever else stays as it is.
    """
    parts = urlsplit(link)
    target = (base / parts.path).resolve()
    if parts.scheme or not parts.path or not target.is_relative_to(ROOT):
        return link
    if target.parent == FOLDER and target.suffix == ".ipynb":
        return parts._replace(path=f"{target.stem}.html").geturl()
    return repository_address(target) if target.exists() else link


def finish(html: str, base: Path) -> str:
    """Prose with its links made to lead somewhere, and its tables made readable.

    Formulas in TeX become MathML. Raises Problem for one that can't be read.
    """
    from bs4 import BeautifulSoup

    prose = BeautifulSoup(html, "html.parser")
    typeset(prose)
    for link in prose("a", href=True):
        link["href"] = address(link["href"], base)
    link_files(prose)
    for one in prose("table"):
        tidy(one)
        one.wrap(prose.new_tag("div", attrs={"class": "table"}))  # it may be wide
    return str(prose)


def typeset(prose) -> None:
    """Turn each formula in TeX into MathML, which browsers draw by themselves.

    Raises Problem for one that can't be read.
    """
    from bs4 import BeautifulSoup
    from latex2mathml.converter import convert

    for text in prose(string=re.compile(r"\$[^$]+\$|\\begin\{")):
        if text.find_parent(["code", "pre"]):
            continue
        parts = re.split(r"\$\$?([^$]+)\$\$?", str(text))
        if len(parts) % 2 == 0 or r"\begin{" in "".join(parts[::2]):
            raise Problem(f"The site can't typeset {text.strip()[:60]!r}: use $…$.")
        made = []
        for i, part in enumerate(parts):
            if i % 2 == 0:
                made.append(prose.new_string(part))
                continue
            try:
                mathml = convert(part.strip())
                if "\\" in mathml:  # a command that it doesn't know
                    raise ValueError(mathml)
                formula = BeautifulSoup(mathml, "html.parser").math
            except Exception as error:  # whatever the converter stumbles on
                raise Problem(f"The site can't typeset ${part}$: {error!r}.") from error
            del formula["xmlns"]
            formula["aria-label"] = part.strip()
            made.append(prose.new_tag("span", attrs={"class": "formula"}))
            made[-1].append(formula)
        text.replace_with(*made)


def link_files(prose) -> None:
    """Let code in prose that names a file of the repository lead to that file."""
    for code in prose("code"):
        name = code.get_text()
        file = re.fullmatch(r"\w+/[\w./]*", name) and ".." not in name
        if file and (ROOT / name).exists() and not code.find_parent(["pre", "a"]):
            code.wrap(prose.new_tag("a", href=repository_address(ROOT / name)))


def tidy(table) -> None:
    """A table without a head has its row's names in its first column: say so."""
    if table.thead and not table.thead.get_text(strip=True):
        table.thead.decompose()
        for row in table("tr"):
            row.td.name = "th"
            row.th["scope"] = "row"


def write_lessons(
    found: list[Lesson], about: dict, folder: Path, bar: bool, widgets: list[Live]
) -> list[Lesson]:
    """Write a page a lesson; return the lessons with their first pictures."""
    convert, done = exporter(FOLDER), []
    ends = [None, *found, None]
    for i, lesson in enumerate(tqdm(found, unit="lesson", disable=not bar)):
        notebook = nbformat.read(lesson.path, as_version=4)
        fold(notebook)
        first = take_pictures(notebook, lesson, folder)[0]
        live.place(notebook, lesson.path.stem, widgets)
        more = {"lesson": lesson, "before": ends[i], "after": ends[i + 2]}
        more["sections"] = sections(notebook)
        html, _ = convert.from_notebook_node(notebook, resources=about | more)
        (folder / lesson.page).write_text(html, encoding="utf-8")
        height = round(first["height"] * 768 / first["width"])
        look = {"picture": first["file"], "alt": first["alt"], "height": height}
        done.append(replace(lesson, **look))
    return done


def write_contents(readme: str, found: list[Lesson], about: dict, folder: Path) -> None:
    """Write index.html from the README: its head, its lessons, how to run them."""
    head = readme.split("\n## ")[0]
    for name in re.findall(r"\]\((assets/[^)]+)\)", head):
        shutil.copy(ROOT / name, folder / "pictures")
        head = head.replace(name, f"pictures/{Path(name).name}")
    title, _, head = head.partition("\n")
    parts = head.strip().split("\n\n")
    before, _, after = re.split(r"(?m)((?:^\|.*\n?)+)", section(readme, "The lessons"))
    words = about | {
        "title": title,
        "line": "\n\n".join(part for part in parts if not part.startswith("![")),
        "picture": "\n\n".join(part for part in parts if part.startswith("![")),
        "lessons": found,
        "lessons_before": before,
        "lessons_after": after,
        "claims": len(ledger.claims()),
        "words": len(ledger.glossary()),
        "commands": section(readme, "Two commands"),
        "colab": section(readme, "On Colab"),
    }
    page = exporter(ROOT).environment.get_template("contents.html.j2")
    html = page.render(resources=words)
    (folder / "index.html").write_text(html, encoding="utf-8")


def entries(found: list[Lesson]) -> list[dict]:
    """What can be searched: every section of the lessons, claim and word, with its text.

    Each is {"kind", "title", "link", "text"}.
    """
    listed = []
    for lesson in found:
        notebook = nbformat.read(lesson.path, as_version=4)
        here = {"title": lesson.question, "link": lesson.page, "text": ""}
        for cell in notebook.cells:
            if cell.cell_type != "markdown" or cell.id == "card":
                continue
            heads = re.findall(r"(?m)^##+ (.+)$", cell.source)
            if heads:
                listed.append(here | {"kind": f"Lesson {lesson.number}"})
                link = f"{lesson.page}#{cell.id}"
                here = {"title": re.sub("[`*]", "", heads[0]), "link": link, "text": ""}
            here["text"] += " " + prose_of(cell.source)
        listed.append(here | {"kind": f"Lesson {lesson.number}"})
    for claim in ledger.claims():
        text = f"{claim.verdict} {claim.condition} {claim.measured}"
        link = f"claims.html#{claim.id}"
        row = {"kind": "Claim", "title": claim.claim, "link": link, "text": text}
        listed.append(row)
    for term in ledger.glossary():
        link = f"glossary.html#{slug(term)}"
        text = prose_of(term.sentence)
        listed.append({"kind": "Word", "title": term.word, "link": link, "text": text})
    return listed


def prose_of(markdown: str) -> str:
    """Markdown's words without its marks, code and folds, on one line."""
    text = re.sub(r"(?ms)^```.*?^```", "", markdown)
    text = re.sub(r"<[^>]+>|\]\([^)]*\)|[*`#|$\[]", " ", text)
    return " ".join(text.split())


def slug(term: ledger.Term) -> str:
    """What a term is called in an address: "kv-cache-06"."""
    return re.sub(r"\W+", "-", f"{term.word}-{term.notebook[:2]}").strip("-").lower()


def write_pages(found: list[Lesson], about: dict, folder: Path) -> None:
    """Write the pages of claims, of words, and the search over all of it."""
    environment = exporter(FOLDER).environment
    words = [{"slug": slug(term), "term": term} for term in ledger.glossary()]
    pages = {
        "claims": {"claims": ledger.claims()},
        "glossary": {"words": words},
        "search": {"entries": entries(found)},
    }
    for name, more in pages.items():
        page = environment.get_template(f"{name}.html.j2")
        html = page.render(resources=about | more)
        (folder / f"{name}.html").write_text(html, encoding="utf-8")


def write_all(
    folder: Path, bar: bool, model: Callable | None, widgets: list[Live]
) -> None:
    """Write the whole site into a folder that is not there yet."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    about = {"name": readme.splitlines()[0].removeprefix("# "), "address": ADDRESS}
    folder.mkdir()
    if model:
        model(folder / MODEL)
        about["model"] = MODEL
    found = table(readme, one_a_lesson(FOLDER))
    found = write_lessons(found, about, folder, bar, widgets)
    live.write(widgets, folder)
    write_contents(readme, found, about, folder)
    write_pages(found, about, folder)
    for name in COPIED:
        shutil.copy(TEMPLATE / name, folder)
    names = [*files(folder), LIST]
    (folder / LIST).write_text("\n".join(names) + "\n", encoding="utf-8")


# Where it goes -----------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    """The names of all files in a folder and the folders inside it."""
    every = folder.rglob("*")
    names = (p for p in every if p.is_symlink() or not p.is_dir())
    return sorted(name.relative_to(folder).as_posix() for name in names)


def check_place(out: Path) -> None:
    """Raise Problem if writing a site to `out` would delete what is not a site."""
    if not out.exists():
        return
    if not out.is_dir():
        raise Problem(f"{out} is a file: name a folder for the site.")
    listed = out / LIST
    ours = listed.read_text("utf-8", "replace") if listed.is_file() else ""
    strange = [name for name in files(out) if name not in ours.split("\n")]
    if strange:
        raise Problem(
            f"{out} holds {strange[0]}, which this command did not write and would "
            "delete. Move it away, or name another folder."
        )


def build(
    out: Path,
    bar: bool = True,
    model: Callable | None = None,
    widgets: list[Live] | None = None,
) -> None:
    """Write all lessons as web pages to the folder `out`, new or a site of before.

    model(path) writes a page on which a language model runs: the site opens with it.
    widgets: those that live on the lessons' pages. The pages are written beside `out` and
    put there when all are done: whatever goes wrong, a site of before stays whole. Raises
    Problem with what to do.
    """
    out = out.resolve()
    check_place(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".site-") as beside:
            write_all(Path(beside) / "new", bar, model, widgets or [])
            check_place(out)  # again: writing took a while
            swap(Path(beside) / "new", out, Path(beside) / "old")
    except OSError as error:
        raise Problem(
            f"The site could not be written: {error}. Mend that, or name another folder."
        ) from error


def swap(new: Path, out: Path, old: Path) -> None:
    """Put `new` in the place of `out`; what was there goes to `old`, or stays."""
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except BaseException:  # Ctrl-C, too
        if old.exists():
            old.rename(out)
        raise
