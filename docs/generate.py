"""Writes the pages that are made from the sources: run by `make docs`, compared by tests.

Each page says at its end that it is made; change the source named there, never the page.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

from tongguan import cli, codes, messages, policy
from tongguan.policy import words

DOCS = Path(__file__).resolve().parent
sys.path.append(str(DOCS))
from law_pages import law_pages  # noqa: E402 - a neighbour of this file, whoever runs it


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """A Markdown table; bars inside a cell are escaped and line ends become spaces."""

    def row(cells: Iterable[object]) -> str:
        return "| " + " | ".join(" ".join(str(c).split()).replace("|", r"\|") for c in cells) + " |"

    columns = list(head)
    return [row(columns), "|" + "---|" * len(columns), *(row(cells) for cells in rows)]


def page(title: str, body: Iterable[str], source: str) -> str:
    """A whole page: one title, the body, and where it comes from."""
    return "\n".join([f"# {title}", "", *body, "", f"*Made from {source} by `make docs`.*", ""])


def code_text(rule: codes.Rule) -> str:
    """The receipt codes of a rule, for all kinds or kind by kind; the nearest one is marked."""
    kinds = {kind: rule.code(kind) for kind in codes.KINDS}
    official = {kind: code for kind, code in kinds.items() if code != rule.id}
    if not official:
        return "none is known; the receipt carries the rule id"
    if len(official) == len(kinds) and len(set(official.values())) == 1:
        return f"`{next(iter(official.values()))}`"
    return ", ".join(
        f"{kind} `{code}`" + (" (nearest)" if kind in rule.nearest else "")
        for kind, code in official.items()
    )


def rule_section(rule: codes.Rule) -> Iterator[str]:
    yield f"### {rule.id}"
    yield ""
    yield f"**{rule.zh}** · {rule.en} ({rule.severity})"
    yield ""
    yield f"- Why: {rule.cause.zh} {rule.cause.en}"
    yield f"- What to do: {rule.fix.zh} {rule.fix.en}"
    yield f"- Who acts: {', '.join(rule.who)}"
    yield f"- Receipt code: {code_text(rule)}"
    for variant, finer in rule.variants.items():
        yield f"- Receipt code, where the field is {variant}: " + ", ".join(
            f"{k} `{c}`" for k, c in finer.items()
        )
    yield f"- Law: {rule.law}"
    yield ""


def rules_page() -> str:
    """The dictionary of rules, grouped by the word before the point."""
    body = [
        "Every rule that can refuse, hold or remark on a document. All are evaluated; a refused",
        "document carries all its findings. `tongguan explain` and `tongguan check` name them.",
    ]
    room = ""
    for rule in codes.RULES.values():
        if rule.id.split(".")[0] != room:
            room = rule.id.split(".")[0]
            body += ["", f"## {room}", ""]
        body += rule_section(rule)
    return page("Rules", body, "`src/tongguan/codes/data/rules.yaml`")


def commands(command: TyperCommand | TyperGroup, path: str) -> Iterator[tuple[str, TyperCommand]]:
    """Every command below a group as (whole name, command), groups left out, in order of help."""
    if isinstance(command, TyperGroup):
        for word, below in command.commands.items():
            yield from commands(below, f"{path} {word}")
    else:
        yield path, command


def parameter_rows(name: str, command: TyperCommand) -> Iterator[tuple[str, str]]:
    """Arguments and options of a command as its help has them: (how written, what it means)."""
    context = command.make_context(name, [], resilient_parsing=True)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            yield f"`{record[0]}`", record[1]


def command_section(name: str, command: TyperCommand) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield inspect.cleandoc(command.help or "")
    yield ""
    rows = list(parameter_rows(name, command))
    if rows:
        yield from table(("option", "meaning"), rows)
        yield ""


def commands_page() -> str:
    """Every command with its arguments and options, as its own help tells them."""
    body = [
        "Exit status: 0 done; 1 the input has errors, all of them reported; 2 wrong usage; 3 the",
        "environment failed (database, disk), nothing half done.",
        "",
    ]
    for name, command in commands(typer.main.get_command(cli.app), "tongguan"):
        body += command_section(name, command)
    return page("Commands", body, "the help of the commands, `src/tongguan/cli/`,")


def parameters_page(known: policy.Policy) -> str:
    """Every dated parameter with its values, their days, paragraphs and whether confirmed."""
    body = ["The law as dated values. A value is in force from its day until the next one's."]
    for parameter in sorted(known.parameters.values(), key=lambda one: one.id):
        body += [
            "",
            f"## {parameter.id}",
            "",
            f"{parameter.zh} · {parameter.en} ({parameter.unit})",
            "",
        ]
        body += table(
            ("since", "value", "paragraph", "confirmed", "source"),
            (
                (v.since, v.text or "none", v.law, "yes" if v.confirmed else "no", v.source)
                for v in parameter.values
            ),
        )
    return page("Parameters", body, "`src/tongguan/policy/parameters/`")


def timeline_page(known: policy.Policy) -> str:
    """Every change of every parameter, list and tariff, day by day."""
    body = [
        "What changed in the law of retail import, day by day, and by which paragraph: every",
        "parameter, every positive list, every tariff. `tongguan policy timeline` shows the same",
        "with the tables you loaded; `tongguan policy diff DAY DAY` compares two days.",
        "",
        "中国跨境电商零售进口规定逐日变动一览：参数、正面清单、税则。",
    ]
    day = None
    rows: list[tuple[str, ...]] = []
    head = ("什么 what", "此前 before", "此后 from then on", "条文 paragraph", "已核实 confirmed")

    def said(value: policy.Value | None) -> str:
        text = words.said(value, known.parameters)
        return text.zh if text.zh == text.en else f"{text.zh} {text.en}"

    for turn in words.turns(known.timeline()):
        value = turn.value
        if value.since != day:
            body += table(head, rows) if rows else []
            body += ["", f"## {value.since}", ""]
            day, rows = value.since, []
        called = words.name(value.parameter, known.parameters)
        name = f"{called.zh} {called.en}"
        if value.parameter in known.parameters:
            name = f"[{name}](parameters.md#{anchor(value.parameter)})"
        confirmed = "是 yes" if value.confirmed else "否 no"
        rows.append((name, said(turn.before), said(value), value.law, confirmed))
    body += table(head, rows)
    source = "`src/tongguan/policy/parameters/` and `src/tongguan/policy/positive_lists/`"
    return page("The law through time", body, source)


def anchor(heading: str) -> str:
    """The fragment by which a heading that is an id is linked to, as Markdown viewers make it."""
    return heading.replace(".", "")


def message_pages() -> dict[str, str]:
    """One page per message type, and an index of them."""
    pages = {f"messages/{name}.md": messages.documentation(name) for name in messages.types()}
    rows = [
        (f"[{name}]({name}.md)", kind.zh, kind.en, kind.receipt or "")
        for name, kind in ((name, messages.message_type(name)) for name in messages.types())
    ]
    body = table(("type", "名称", "name", "answered by"), rows)
    pages["messages/index.md"] = page("Messages", body, "`src/tongguan/messages/catalogue/`")
    return pages


def pages() -> dict[str, str]:
    """All made pages: path below docs/ -> text."""
    return {
        "rules.md": rules_page(),
        "commands.md": commands_page(),
        "parameters.md": parameters_page(policy.load()),
        "timeline.md": timeline_page(policy.load()),
        **law_pages(policy.load()),
        **message_pages(),
    }


def main() -> None:
    """Write every page whose text changed, and take away message pages whose type is gone."""
    made = pages()
    for path, text in made.items():
        target = DOCS / path
        target.parent.mkdir(exist_ok=True)
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")
            sys.stdout.write(f"wrote docs/{path}\n")
    for old in (DOCS / "messages").glob("*.md"):
        if f"messages/{old.name}" not in made:
            old.unlink()
            sys.stdout.write(f"removed docs/messages/{old.name}\n")


if __name__ == "__main__":
    main()
