"""A parcel, explained to those whose it is."""

from tongguan import clearance
from tongguan.window import answers, gate
from tongguan.window.trouble import Turned, not_found
from tongguan.window.views.request import Asked


def explain(asked: Asked, key: str) -> answers.Parcels:
    """The parcels with a number of which the caller's company has sent a document."""
    own = gate.codes_of(asked.conn, asked.company)
    try:
        found = clearance.explain(asked.conn, key, own)
    except clearance.UnknownKey:
        raise not_found(f"parcel {key}") from None
    except (clearance.Differs, clearance.UnknownPolicy):
        raise Turned(
            500,
            "the decision cannot be computed again as it was recorded; the operator can see why "
            "with `tongguan explain`",
        ) from None
    return answers.Parcels(parcels=[each.facts() for each in found])
