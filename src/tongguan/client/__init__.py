"""A client of the gateway: build, sign, send, follow receipts, and know where each parcel stands.

``Client`` waits for its answers, ``AsyncClient`` awaits them; both do the same. ``Sender`` builds
messages and signs them. ``Parcels`` is what a stream of receipts says, whatever order they come
in. Needs no database: it stands on ``messages`` alone.
"""

from tongguan.client.answers import Accepted, Finding, Limit, Page, Receipt, Refused, Submission
from tongguan.client.awaiting import AsyncClient
from tongguan.client.blocking import Client
from tongguan.client.exchange import GaveUp, Retrying, TurnedAway
from tongguan.client.parcels import Document, Parcels
from tongguan.client.sender import Sender
from tongguan.client.webhook import Forged, delivered

__all__ = [
    "Accepted",
    "AsyncClient",
    "Client",
    "Document",
    "Finding",
    "Forged",
    "GaveUp",
    "Limit",
    "Page",
    "Parcels",
    "Receipt",
    "Refused",
    "Retrying",
    "Sender",
    "Submission",
    "TurnedAway",
    "delivered",
]
