"""The documentation tells of everything a user can name, and only of what exists."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from tongguan import cli, codes, messages, policy

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
WRITTEN = {page: page.read_text("utf-8") for page in PAGES}

_spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)
MADE = generate.pages()

APP = typer.main.get_command(cli.app)
COMMANDS = dict(generate.commands(APP, "tongguan"))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def options(command: TyperCommand) -> set[str]:
    """Every spelling of a command's options."""
    return {
        spelling
        for parameter in command.params
        if parameter.param_type_name == "option"
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


NAMED = {
    "rules": [f"### {rule}\n" for rule in codes.RULES],
    "parameters": [f"## {parameter}\n" for parameter in policy.load().parameters],
    "messages": [f"[{kind}]({kind}.md)" for kind in messages.types()],
}


@pytest.mark.parametrize("what", NAMED)
def test_whatever_has_a_name_is_told(what):
    told = "\n".join(WRITTEN.values())
    assert [heading for heading in NAMED[what] if heading not in told] == []
    assert len(NAMED[what]) > 15


@pytest.mark.parametrize("made", MADE)
def test_a_made_page_is_what_its_source_says(made):
    assert (DOCS / made).read_text("utf-8") == MADE[made], "run make docs and commit the page"


LAW_PAGES = generate.law_pages.__globals__
CASES = LAW_PAGES["cases"]()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_law_pages_hold_every_value_rule_and_case(language):
    made = MADE[f"law/{language}.md"]
    known = policy.load()
    for parameter in known.parameters:
        assert f"(../parameters.md#{parameter.replace('.', '')})" in made, parameter
    values = [value for value in known.timeline() if value.law]
    assert len(values) > 80
    for value in values:
        assert f"## {value.law.split('; ')[0]}\n" in made, value
    for rule in codes.RULES:
        assert f"- [`{rule}`](../rules.md#{rule.replace('.', '')})" in made, rule
    assert len(CASES) > 200
    for file, case in CASES:
        assert f"- {case[language]}: " in made, case
        assert f"(`{file}`)" in made


def test_what_a_rule_stands_on_exists():
    known = {*policy.load().parameters, "positive-list", "tariff"}
    for rule, parameters in LAW_PAGES["STANDS_ON"].items():
        assert rule in codes.RULES
        assert set(parameters) <= known
    named = [rule for rule in codes.RULES.values() if rule.law.startswith("parameter ")]
    assert named
    assert all(set(LAW_PAGES["applied"](rule)) <= known for rule in named)


def test_every_case_stands_under_the_paragraph_it_names():
    found = {p.law: p for p in LAW_PAGES["paragraphs"](policy.load())}
    placed = [(file, case["en"]) for p in found.values() for file, case in p.cases]
    assert sorted(placed) == sorted((file, case["en"]) for file, case in CASES)
    lost = [p.law for p in found.values() if p.cases and not p.values]
    assert lost == [], "a case names a paragraph that no parameter, list or tariff stands on"


def test_no_made_page_is_left_over():
    here = {f"messages/{page.name}" for page in (DOCS / "messages").glob("*.md")}
    assert here == {made for made in MADE if made.startswith("messages/")}


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_shows_every_command(readme):
    shown = (ROOT / readme).read_text("utf-8")
    assert [command for command in COMMANDS if f"{command} " not in shown] == []


def examples() -> list[tuple[str, str]]:
    """Every line in a fenced block that calls tongguan, as (page, command line)."""
    found = []
    for page, text in WRITTEN.items():
        for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
            joined = block.replace("\\\n", " ")
            found += [
                (name(page), call.strip())
                for call in re.findall(
                    r"(?m)^(?:\$ )?(?:\S+=\S+ )*(?:\.venv/bin/)?(tongguan .*)$", joined
                )
            ]
    return found


def test_there_are_examples():
    assert len(examples()) >= len(COMMANDS)


@pytest.mark.parametrize(("page", "call"), examples())
def test_an_example_names_only_commands_and_options_that_exist(page, call):
    words = shlex.split(call, comments=True)
    command, rest = APP, words[1:]
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{page}: no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    used = {word.split("=")[0] for word in rest if word.startswith("--")}
    assert used - options(command) == set(), page


LINKS = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    targets = [t for t in LINKS.findall(WRITTEN[page]) if not re.match(r"[a-z]+:", t)]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", ["architecture.md", "STYLE.md"])
def test_every_source_a_page_names_exists(page):
    """A path such as `policy/parameters/` or `clearance/rules.py` is one below src/tongguan."""
    named = re.findall(r"`([a-z_]+/[A-Za-z_./]*)`", (DOCS / page).read_text("utf-8"))
    bases = (ROOT, ROOT / "src" / "tongguan")
    lost = [p for p in named if "<" not in p and not any((base / p).exists() for base in bases)]
    assert lost == []
