"""What the commands show a person: tables and trees on a terminal, no logic."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tongguan import codes, messages, policy
from tongguan.clearance.explain import Compared, Explanation
from tongguan.clearance.settings import ZONE
from tongguan.policy import samples, words
from tongguan.policy.amounts import yuan_text as yuan
from tongguan.policy.goods_status import RELIEFS, STATUS_WORDS
from tongguan.sharing.verification import Check

Parameters = Mapping[str, policy.Parameter]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

SHAPES = {800: "●", 899: "●", 120: "◐", 399: "◐", 400: "◐", 2: "○", 1: "◌", 100: "✕"}
COLOURS = {"●": "green", "◐": "cyan", "○": "yellow", "◌": "dim", "✕": "red"}
PARCELS_SHOWN = 30
RESULTS = {
    True: ("✓", "ok", "green"),
    False: ("✕", "failed", "red"),
    None: ("–", "unknown", "yellow"),
}


def status_text(status: int) -> Text:
    """A status as shape, word and number; a negative one is a refusal for the form."""
    shape = "✕" if status < 0 else SHAPES.get(status, "◇")
    refused = "refused for its form"
    word = refused if status < 0 else codes.table("status").get(str(status)).name_en
    return Text(f"{shape} {word} ({status})", style=COLOURS.get(shape, ""))


def table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    made = Table(title=title, title_justify="left", header_style="bold")
    figures = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in figures else "left", overflow="fold")
    return made


def checks(made: Iterable[Check]) -> Text:
    """What was verified, one line each; what failed says why."""
    shown = Text()
    for check in made:
        shape, word, style = RESULTS[check.ok]
        shown.append(f"{shape} {word:8}", style=style)
        shown.append(f"{check.what}{f': {check.detail}' if check.detail else ''}\n")
    shown.rstrip()
    return shown


def outcomes(frame: pl.DataFrame) -> Table:
    made = table("document", "status", "documents", title="Documents", right=["documents"])
    for kind, status, count in frame.iter_rows():
        made.add_row(kind, status_text(status), f"{count:,}")
    return made


def told(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings of a report line that a person must know of: errors, or what it waits for."""
    errors = [found for found in line["findings"] if found["severity"] == "error"]
    waits = [found for found in line["findings"] if found["rule"].endswith("-missing")]
    return errors or waits


def why(line: dict[str, Any]) -> str:
    """What must be known of a report line, as one text."""
    return "\n".join(finding_text(found) for found in told(line))


def finding_text(found: dict[str, Any]) -> str:
    rule = codes.rule(found["rule"])
    place = f"item {found['gnum']}, " if found.get("gnum") is not None else ""
    field = f"{place}{found['field']}: " if found.get("field") else ""
    values = [f"{word} {found[key]}" for word, key in _SIDES if found.get(key) is not None]
    code = found.get("code", rule.id)
    name = rule.id if code == rule.id else f"{rule.id} [{code}]"
    return f"{name} {rule.en}; {field}{', '.join(values)}"


_SIDES = (("expected", "expected"), ("found", "actual"))


def parcels(lines: Sequence[dict[str, Any]], more: int) -> Group:
    """The parcels that need a look first, then the others, at most PARCELS_SHOWN."""
    made = table("order", "status", "tax", "why", title="Parcels", right=["tax"])
    for line in lines:
        tax = line.get("tax")
        released = line["status"] in (800, 899)
        key = line["key"]
        name = key.get("orderNo") or key.get("copNo") or key.get("file") or ""
        made.add_row(
            name,
            status_text(line["status"]),
            tax["total"] if tax and released else "",
            Text(why(line)),
        )
    shown: list[RenderableType] = [made]
    if more:
        rest = f"… and {more:,} more; --report FILE has every document"
        shown.append(Text(rest, style="dim"))
    rules = {found["rule"] for line in lines for found in told(line)}
    return Group(*shown, *what_to_do(rules))


def what_to_do(rules: Iterable[str]) -> list[RenderableType]:
    """The cure for each of these rules, once, and who must act; nothing if there are none."""
    made = table("rule", "who", "what to do", title="What to do")
    for rule in map(codes.rule, sorted(set(rules))):
        roles = (codes.table("role").get(role).name_en for role in rule.who)
        made.add_row(rule.id, ", ".join(roles), rule.fix.en)
    return [made] if made.row_count else []


def findings(frame: pl.DataFrame) -> Group:
    made = table("file", "document", "key", "severity", "finding")
    for row in frame.iter_rows(named=True):
        place = "" if row["position"] is None else f" {row['position'] + 1}"
        colour = "red" if row["severity"] == "error" else "yellow"
        made.add_row(
            row["file"],
            f"{row['document']}{place}",
            row["key"] or "",
            Text(row["severity"], style=colour),
            Text(finding_text(row)),
        )
    return Group(made, *what_to_do(frame["rule"]))


# ── explain ─────────────────────────────────────────────────────────────────────────────────


def explanation(found: Explanation) -> Group:
    parts: list[RenderableType] = [_document(line) for line in found.documents]
    if found.compared:
        parts.append(_compared(found.compared))
    if found.steps:
        law = f"Law of {found.day} (policy {str(found.policy_hash)[:12]}), recomputed: same answer"
        parts += [Text(law, style="bold"), derivation(found.steps)]
    return Group(*parts)


def _document(line: dict[str, Any]) -> Tree:
    head = Text.assemble((line["document"], "bold"), "  ", status_text(line["status"]))
    tree = Tree(head)
    tree.add("  ".join(f"{name} {value}" for name, value in line["key"].items()))
    for event in line["events"]:
        at = datetime.fromtimestamp(event["at"] // 1000, UTC).astimezone(ZONE)
        info = event["info"] or codes.receipt(event["status"]).info()
        when = f"{at:%Y-%m-%d %H:%M:%S}.{event['at'] % 1000:03d} +08:00"
        tree.add(Text(f"{when}  {event['status']}  {info}"))
    for finding in line["findings"]:
        colour = "red" if finding["severity"] == "error" else "yellow"
        branch = tree.add(Text(finding_text(finding), style=colour))
        rule = codes.rule(finding["rule"])
        branch.add(Text(f"why: {rule.cause.en}"))
        branch.add(Text(f"what to do: {rule.fix.en}"))
        branch.add(Text(f"law: {finding.get('law') or rule.law}"))
    if line.get("tax"):
        taxes = "  ".join(f"{name} {value}" for name, value in line["tax"].items())
        allowance = line["allowance"]
        tree.add(f"tax: {taxes}")
        tree.add(f"allowance: before {allowance['before']}, after {allowance['after']}")
    return tree


def _compared(pairs: Sequence[Compared]) -> Table:
    made = table("rule", "expected from", "value", "found in", "value", "equal", title="Compared")
    for pair in pairs:
        equal = Text("yes", style="green") if pair.equal else Text("NO", style="bold red")
        made.add_row(pair.rule, pair.left, pair.left_value, pair.right, pair.right_value, equal)
    return made


# ── after release ───────────────────────────────────────────────────────────────────────────


def payments(lines: Sequence[dict[str, Any]]) -> Table:
    made = table(
        *("payment", "guarantor", "status", "amount", "late fee", "due from", "due to", "parcels"),
        title="Payments",
        right=["amount", "late fee", "parcels"],
    )
    for line in lines:
        key = line["key"]
        made.add_row(
            *(key["bill"], key["guarantor"], line["status"], line["amount"], line["fee"]),
            *(line["due_from"], line["due_to"], f"{line['parcels']:,}"),
        )
    return made


def guarantee(facts: dict[str, Any]) -> Table:
    made = table("guarantee", facts["guarantor"], right=[facts["guarantor"]])
    for name, value in facts.items():
        if name != "guarantor":
            made.add_row(name, str(value))
    return made


def statement(facts: dict[str, Any]) -> Table:
    limit = f" of {facts['limit']}" if facts["limit"] else ""
    made = table(
        *("time", "what", "order", "list", "amount", "used"),
        title=f"{facts['buyer']}, {facts['year']}: {facts['used']}{limit} yuan used",
        right=["amount", "used"],
    )
    for entry in facts["entries"]:
        made.add_row(
            *(entry["at"], entry["what"], entry["orderNo"], entry["invtNo"] or ""),
            *(entry["amount"], entry["used"]),
        )
    return made


# ── law ─────────────────────────────────────────────────────────────────────────────────────


def derivation(steps: Sequence[policy.Step]) -> Table:
    made = table("item", "number", "how", "result", "rests on", right=["result"])
    for step in steps:
        rests = "\n".join(
            f"{b.parameter} = {b.value}"
            f"{f' since {b.since}' if b.since else ''}; {b.law}"
            f"{'' if b.confirmed else ' (unconfirmed)'}"
            for b in step.basis
        )
        item = "" if step.gnum is None else str(step.gnum)
        made.add_row(item, f"{step.zh} {step.en}", step.formula, step.value, rests)
    return made


def quote(result: policy.Quote) -> Group:
    head = f"{result.day}: {result.regime}, tax {result.facts()['total']} yuan"
    parts: list[RenderableType] = [Text(head, style="bold"), derivation(result.steps)]
    for found in result.facts()["findings"]:
        colour = "red" if found["severity"] == "error" else "yellow"
        parts.append(Text(finding_text(found), style=colour))
    return Group(*parts)


def both(text: codes.Text) -> Text:
    """Chinese and English in one cell; once where they are the same."""
    return Text(text.zh if text.zh == text.en else f"{text.zh}\n{text.en}")


def _named(parameter: str, known: Parameters) -> Text:
    return Text.assemble(both(words.name(parameter, known)), (f"\n{parameter}", "dim"))


def _paragraph(*values: policy.Value | None) -> Text:
    """The paragraph of the first value there is, and whether its source was seen."""
    value = next((v for v in values if v is not None), None)
    return Text() if value is None else _law(value.law, value.confirmed)


def _law(paragraph: str, confirmed: bool) -> Text:
    return Text(paragraph) if confirmed else Text.assemble(paragraph, ("\nnot confirmed", "yellow"))


def timeline(values: Sequence[policy.Value], known: Parameters) -> Table:
    made = table("since", "what", "before", "from then on", "paragraph")
    made.show_lines = True
    for turn in words.turns(values):
        value = turn.value
        made.add_row(
            str(value.since),
            _named(value.parameter, known),
            both(words.said(turn.before, known)),
            both(words.said(value, known)),
            _paragraph(value),
        )
    return made


def diff(
    differences: Sequence[policy.Difference], known: policy.Policy, before: date, after: date
) -> Group:
    """What is not the same on two days: in words, and in the tax of everyday baskets."""
    made = table("what", str(before), str(after), "change", "paragraph")
    made.show_lines = True
    for each in differences:
        made.add_row(
            _named(each.parameter, known.parameters),
            both(words.said(each.before, known.parameters)),
            both(words.said(each.after, known.parameters)),
            both(words.told(each, known.parameters)),
            _paragraph(each.after, each.before),
        )
    if not differences:
        return Group(Text(f"The law of {before} and that of {after} are the same."))
    return Group(
        made, *_lines_of_lists(known, before, after), _effects(known, before, known, after)
    )


def _lines_of_lists(known: policy.Policy, before: date, after: date) -> list[Text]:
    changes, whole = words.list_changes(known, before, after)
    if not changes:
        return []
    added = sum(change.before is None for change in changes)
    gone = sum(change.after is None for change in changes)
    text = (
        f"Lines of the positive list: {added:,} come on it, {gone:,} go, "
        f"{len(changes) - added - gone:,} change their remark"
    )
    lacking = "" if whole else "; the lists at hand are not complete, so these are the known ones"
    return [Text(text + lacking + ".")]


def _effects(
    before: policy.Policy, day_before: date, after: policy.Policy, day_after: date
) -> RenderableType:
    """Everyday baskets under the two laws."""
    made = table("basket", "before", "tax", "after", "tax", "more or less", title="In tax")
    for column in (2, 4, 5):
        made.columns[column].justify = "right"
    found = False
    for effect in samples.effects((before, day_before), (after, day_after)):
        found = True
        cells: list[str] = []
        for side in (effect.before, effect.after):
            rules = "\n".join(f["rule"] for f in side.findings if f["severity"] == "error")
            refused = side.regime == "refused"
            cells += [rules if refused else side.regime, "" if refused else yuan(side.total_fen)]
        delta = effect.after.total_fen - effect.before.total_fen
        cells.append("" if "" in cells else f"{'+' if delta > 0 else ''}{yuan(delta)}")
        made.add_row(both(effect.basket), *cells)
    return made if found else Text("No everyday basket is taxed otherwise.")


def goods_status(found: policy.GoodsStatus) -> Group:
    """The status, why, since and until when, and what a transition takes off."""
    word = STATUS_WORDS[found.status]
    made = Table.grid(padding=(0, 2))
    period = f"{found.since} to {found.until}" if found.until else f"since {found.since}"
    rows = [
        ("status", Text(f"{word.zh} {word.en}", style="bold")),
        ("by the list of", Text(f"{found.day}: {found.version or 'none yet'}")),
        ("holds", Text(period)),
        ("paragraph", _law(found.law, found.confirmed)),
        ("remark", Text(found.remark)),
        ("transition", Text("\n").join(both(RELIEFS[relief]) for relief in found.reliefs)),
    ]
    for name, value in rows:
        if value.plain:
            made.add_row(name, value)
    notes = []
    if found.bonded_only:
        notes.append(Text("bonded modes 1210 and 1239 only", style="yellow"))
    if not found.certain:
        lacking = "the list at hand is not complete: this code may be on it"
        notes.append(Text(lacking, style="yellow"))
    return Group(Text(found.code8, style="bold"), made, *notes)


def draft(made: policy.Draft) -> Group:
    """What a draft changes, which parcels it would decide, and what everyday baskets would pay."""
    content, known = made.content, made.policy.parameters
    scope = [Text(f"{made.name} (policy {made.policy.hash[:12]}), on the law known", style="bold")]
    if content.territory:
        zones = codes.table("zone")
        named = "、".join(zones.get(code).name_zh for code in content.territory)
        scope.append(Text(f"only for parcels of the pilot zones {named}"))
    if content.modes:
        scope.append(Text(f"only for the trade modes {' '.join(content.modes)}"))
    for spared in content.transitions:
        modes = f" of the modes {' '.join(spared.modes)}" if spared.modes else ""
        period = f"accepted from {spared.since} to {spared.until}"
        spares = f"spares parcels{modes} {spared.column} before {spared.before}"
        scope.append(Text(f"{spares}, {period}"))
    rows = table("what", "from", "until", "law known", "draft", "change", "paragraph")
    rows.show_lines = True
    for change in made.diff():
        rows.add_row(
            _named(change.parameter, known),
            str(change.since),
            "" if change.until is None else str(change.until),
            both(words.said(change.before, known)),
            both(words.said(change.after, known)),
            both(words.told(change.difference, known)),
            _paragraph(change.before),
        )
    return Group(*scope, rows, _effects(made.base_policy, made.base, made.policy, made.base))


# ── companies and keys ──────────────────────────────────────────────────────────────────────


def companies(rows: Sequence[dict[str, Any]]) -> Table:
    made = table("code", "credit code", "name", "zone", "roles")
    for row in rows:
        made.add_row(
            *(row["code"], row["credit_code"] or "", row["name"] or "", row["zone"] or ""),
            _roles(row),
        )
    return made


def _roles(row: dict[str, Any]) -> str:
    return ", ".join([*row["roles"], *(f"{role} (provisional)" for role in row["provisional"])])


def company(facts: dict[str, Any]) -> Group:
    head = table("company", facts["code"])
    for name in ("name", "credit_code", "zone", "dxp_id"):
        if facts[name]:
            head.add_row(name.replace("_", " "), facts[name])
    head.add_row("roles", _roles(facts))
    held = table("principal", "agent", "since", "until", title="Mandates")
    for row in facts["mandates"]:
        held.add_row(row["principal"], row["agent"], row["since"], row["until"] or "no end")
    said = table("time", "what", "by", "facts", title="History")
    for row in facts["history"]:
        told = "; ".join(
            f"{name} {', '.join(value) if isinstance(value, list) else value}"
            for name, value in row["facts"].items()
            if value is not None
        )
        said.add_row(row["at"], row["what"], row["by"], told)
    return Group(head, *([held] if facts["mandates"] else []), said)


def subscriptions(rows: Sequence[dict[str, Any]]) -> Table:
    made = table(
        "whose receipts", "who is told", "at", "content", "messages", "first", "last", "ended",
        right=["messages"],
    )  # fmt: skip
    for row in rows:
        told = row["subscriber"] or Text("nobody filed", style="yellow")
        made.add_row(
            *(row["publisher"], told, row["address"], row["content"], f"{row['messages']:,}"),
            *(row["first"], row["last"], f"{row['ended']:,}"),
        )
    return made


def payment_request(facts: dict[str, Any]) -> Group:
    head = table("order", "platform", "state", "asked", "due", title=facts["session"])
    head.add_row(*(facts[name] for name in ("order", "platform", "state", "asked", "due")))
    said = table("time", "what", "facts")
    for event in facts["events"]:
        told = "\n".join(
            f"{name}: {'; '.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in event["facts"].items()
            if value not in (None, [])
        )
        said.add_row(event["at"], event["what"], told)
    return Group(head, said)


def keys(rows: Sequence[dict[str, Any]]) -> Table:
    made = table("key", "company", "scopes", "issued", "by", "expires", "state")
    for row in rows:
        state = (
            Text(f"✕ revoked {row['revoked']}", style="red") if row["revoked"] else Text("● held")
        )
        made.add_row(
            *(row["key"], row["company"], ", ".join(row["scopes"]), row["issued"], row["by"]),
            *(row["expires"] or "no end", state),
        )
    return made


def certificates(rows: Sequence[dict[str, Any]]) -> Table:
    made = table("company", "serial", "kind", "from", "to", "filed by", "state")
    for row in rows:
        since, until = (row[name][:10] for name in ("valid_from", "valid_to"))
        revoked = f"✕ revoked {row['revoked_at']}: {row['revoked_because']}"
        state = Text(revoked, style="red") if row["revoked_at"] else Text("● held")
        made.add_row(
            *(row["company"], row["serial"], row["algorithm"], since, until, row["filed_by"]), state
        )
    return made


def diagnosis(found: messages.Diagnosis) -> Group:
    facts = found.facts()
    head = table("", "")
    names = ("verdict", "algorithm", "digest_algorithm", "serial", "canonical_bytes")
    for name in (*names, "digest_sent", "digest_computed", "digest_of_sender"):
        if facts[name] is not None:
            head.add_row(name.replace("_", " "), str(facts[name]))
    parts: list[RenderableType] = [head]
    if found.findings:
        told = table("field", "expected", "actual", "severity", title="Findings")
        for one in found.findings:
            told.add_row(one.field, one.expected, one.actual, one.severity)
        parts.append(told)
    if found.first_difference is not None:
        where = found.first_difference
        pair = table("form", "text", title=f"{where.of}: first difference at byte {where.offset}")
        pair.add_row("ours", _marked(where.ours, where.mark))
        pair.add_row("yours", _marked(where.theirs, where.mark))
        parts.append(pair)
    parts += [Text(f"{hint.text.zh} {hint.text.en}") for hint in found.hints]
    return Group(*parts)


def _marked(text: str, mark: int) -> Text:
    """The text with the character at which it differs marked."""
    shown = Text(text[:mark])
    shown.append(text[mark : mark + 1] or "∎", style="bold red")
    return shown.append(text[mark + 1 :])


# ── replay ──────────────────────────────────────────────────────────────────────────────────


def replayed(facts: dict[str, Any]) -> Group:
    """The answer of a replay: totals, rules, taxes."""
    made = table("what", "law in force", "draft", right=["law in force", "draft"])
    made.title = facts["draft"] or "replayed under the law in force"
    made.add_row("parcels", f"{facts['parcels']:,}", f"{facts['parcels']:,}")
    made.add_row("refused", *(f"{facts['refused'][side]:,}" for side in ("base", "draft")))
    for tax, pair in {**facts["tax_by_kind"], "tax": facts["tax"]}.items():
        made.add_row(tax.replace("_", " "), pair["base"], pair["draft"])
    returned = facts["returns"]["tax"]
    made.add_row("of it returned", returned["base"], returned["draft"])
    rules = table(
        *("rule", "newly refused", "no longer refused"),
        right=["newly refused", "no longer refused"],
    )
    for rule, moved in facts["by_rule"].items():
        counts = (f"{moved[side]:,}" for side in ("newly_refused", "no_longer_refused"))
        rules.add_row(f"{rule} {codes.rule(rule).en}", *counts)
    said = (
        f"{facts['changed']:,} parcels change; {facts['buyers']['newly_over']:,} buyers newly over "
        f"a limit; {facts['returns']['affected']:,} of {facts['returns']['all']:,} returns affected"
    )
    sound = "every recorded decision is reproduced" if facts["reproduced"] else "NOT REPRODUCED"
    return Group(made, *([rules] if facts["by_rule"] else []), Text(said), Text(sound))
