"""Charts as inline SVG: drawn from figures that stand in the table beside them, no script."""

from collections.abc import Sequence
from html import escape

BASE, DRAFT, LOSS = "#9aa5b1", "#1f5f99", "#b3402e"
"""Colours of the law in force, of the draft, and of what is refused."""
_WIDTH = 640


def bars(rows: Sequence[tuple[str, int, int]], title: str, unit: str, shown: Sequence[str]) -> str:
    """Two horizontal bars a row: the law in force, the draft. rows: name, base, draft (≥ 0).

    shown: what stands beside the bars, two texts a row.
    """
    most = max([1, *(value for _, *values in rows for value in values)])
    height, left, room = 46, 150, _WIDTH - 150 - 130
    parts = []
    for n, (name, *values) in enumerate(rows):
        top = n * height + 6
        parts.append(
            f'<text x="{left - 10}" y="{top + 20}" text-anchor="end" class="n">'
            f"{escape(name)}</text>"
        )
        for place, (value, colour) in enumerate(zip(values, (BASE, DRAFT), strict=True)):
            width = max(1, room * value // most) if value else 0
            y = top + place * 16
            text = escape(shown[n * 2 + place])
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width}" height="13" fill="{colour}"/>'
                f'<text x="{left + width + 6}" y="{y + 11}" class="v">{text}</text>'
            )
    return _svg(len(rows) * height + 4, parts, f"{title} ({unit})")


def columns(names: Sequence[str], values: Sequence[int], title: str, unit: str) -> str:
    """One column a name, its figure on top. values: ≥ 0."""
    most = max([1, *values])
    height, step = 190, (_WIDTH - 10) // max(1, len(names))
    width = min(46, step * 7 // 10)
    parts = [f'<line x1="0" y1="{height - 24}" x2="{_WIDTH}" y2="{height - 24}" class="axis"/>']
    every = -(-len(names) // (_WIDTH // 56))
    for n, (name, value) in enumerate(zip(names, values, strict=True)):
        tall = (height - 50) * value // most
        x, y = 8 + n * step, height - 24 - tall
        middle = x + width // 2
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{tall}" fill="{LOSS}"/>')
        if len(names) <= 24:
            parts.append(
                f'<text x="{middle}" y="{y - 5}" text-anchor="middle" class="v">{value:,}</text>'
            )
        if n % every == 0:
            parts.append(
                f'<text x="{middle}" y="{height - 8}" text-anchor="middle" class="n">'
                f"{escape(name)}</text>"
            )
    return _svg(height, parts, f"{title} ({unit})")


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
