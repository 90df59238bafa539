"""The numbers of docs/STYLE.md that ruff, mypy and import-linter do not check already."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "tongguan"

FILE_LINES = 600
FUNCTION_LINES = 60
LONGER_FUNCTIONS: dict[str, str] = {}  # "room/file.py:function" -> why it is better in one piece

VAGUE = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
TEXT = {".cfg", ".csv", ".lock", ".md", ".py", ".sh", ".sql", ".toml", ".txt", ".xml", ".yaml", ""}
NOT_OURS = {"build", "dist", "node_modules", "__pycache__"}

UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|NotImplemented[E]rror")
MACHINE = re.compile(r"(?<![\w.~})])/(?:work|farm|root|home|Users|tmp)/[A-Za-z]")
INDEX = re.compile("://|index.url|find.links|^ *-[a-z]", re.MULTILINE)
CLOCK = {"now", "today", "utcnow"}


def project_files() -> Iterator[Path]:
    """Every file a clone holds: not in hidden folders (but .ci) nor in what builds leave behind."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") for part in parts) and parts[0] != ".ci"
        if path.is_file() and not hidden and not NOT_OURS.intersection(parts):
            yield path


FILES = sorted(project_files())
SOURCES = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(SRC)]
PAGES = [path for path in FILES if path.suffix == ".md"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(text: str, pattern: re.Pattern[str]) -> list[int]:
    """Numbers of the lines in which the pattern is found."""
    return [n for n, line in enumerate(text.splitlines(), 1) if pattern.search(line)]


def outside_fences(text: str) -> list[str]:
    """The lines of a Markdown page that are not in a fenced block."""
    kept, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            kept.append(line)
    return kept


def test_the_walk_sees_the_project():
    names = {name(path) for path in FILES}
    assert {"Makefile", ".ci/run", "requirements.lock", "src/tongguan/__init__.py"} <= names


def test_no_source_file_is_longer_than_one_can_hold_in_the_head():
    counts = {name(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert {file: n for file, n in counts.items() if n > FILE_LINES} == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file as (room/file.py:function, lines without its docstring)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            length = node.end_lineno - node.lineno + 1
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                length -= first.end_lineno - first.lineno + 1
            yield f"{path.relative_to(SRC).as_posix()}:{node.name}", length


def test_functions_are_short_but_for_the_listed_ones():
    long = {key for path in SOURCES for key, length in functions(path) if length > FUNCTION_LINES}
    assert long == set(LONGER_FUNCTIONS)


def test_no_file_or_folder_has_a_vague_name():
    found = {
        name(p)
        for p in FILES
        if VAGUE & {part.split(".")[0] for part in p.parts[len(ROOT.parts) :]}
    }
    assert found == set()


def test_nothing_in_the_sources_is_left_unfinished():
    found = {name(p): lines(p.read_text("utf-8"), UNFINISHED) for p in SOURCES}
    assert {file: where for file, where in found.items() if where} == {}


def calls(path: Path, tree_names: set[str]) -> list[int]:
    """Line numbers of calls of a method or function with one of these names."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called in tree_names:
                found.append(node.lineno)
    return found


READS_THE_CLOCK = {
    SRC / "cli" / "application.py": "the default of --at",
    SRC / "window" / "clock.py": "a server has no command at whose time it works",
}


def test_only_the_faces_read_the_clock_each_in_one_place():
    found = {name(path): calls(path, CLOCK) for path in SOURCES if path not in READS_THE_CLOCK}
    assert [len(calls(path, CLOCK)) for path in READS_THE_CLOCK] == [1, 1]
    assert {file: where for file, where in found.items() if where} == {}


def binary_floats(path: Path) -> list[int]:
    """Line numbers of binary float constants, conversions and column types."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        constant = isinstance(node, ast.Constant) and isinstance(node.value, float)
        made = isinstance(node, ast.Call) and getattr(node.func, "id", None) == "float"
        column = isinstance(node, ast.Attribute) and node.attr in {"Float32", "Float64"}
        if constant or made or column:
            found.append(node.lineno)
    return found


def test_no_binary_float_stands_where_money_is_computed():
    found = {
        name(path): binary_floats(path)
        for path in SOURCES
        if path.parts[len(SRC.parts)] == "policy"
    }
    assert found
    assert {file: where for file, where in found.items() if where} == {}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_has_one_title_at_its_head(page):
    kept = [line for line in outside_fences(page.read_text("utf-8")) if line.strip()]
    assert [line for line in kept if line.startswith("# ")] == kept[:1]


def test_no_file_names_a_folder_of_one_machine():
    texts = [path for path in FILES if path.suffix in TEXT]
    found = {name(p): lines(p.read_text("utf-8", errors="replace"), MACHINE) for p in texts}
    assert {file: where for file, where in found.items() if where} == {}


LOCKS = ("requirements.lock", "requirements-spark.lock")


@pytest.mark.parametrize("name_", LOCKS)
def test_a_lock_names_versions_and_hashes_and_no_address(name_):
    lock = (ROOT / name_).read_text("utf-8")
    assert INDEX.findall(re.sub(r"--hash=sha256:[0-9a-f]{64}", "", lock)) == []
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", lock).strip())
    assert len(entries) >= (20 if name_ == LOCKS[0] else 4)
    for entry in entries:
        assert re.match(r"[a-z0-9.\-]+(\[[a-z,]+\])?==\S+ \\\n", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_every_declared_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    declared = project["project"]["dependencies"] + project["build-system"]["requires"]
    for extra in project["project"]["optional-dependencies"].values():
        declared += extra
    lock = "\n".join((ROOT / each).read_text("utf-8") for each in LOCKS)
    locked = set(re.findall(r"(?m)^([a-z0-9.\-]+)[\[=]", lock))
    names = {re.match(r"[A-Za-z0-9_.\-]+", d).group().lower().replace("_", "-") for d in declared}
    assert names - locked == set()
