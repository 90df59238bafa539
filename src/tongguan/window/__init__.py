"""The window: signed messages in over HTTP, receipts out, and the workers between."""

from tongguan.window.rules import Rules
from tongguan.window.running import FirstKey, Plan, first_key, gateway, prepare, up, work
from tongguan.window.serving import Tls

__all__ = ["FirstKey", "Plan", "Rules", "Tls", "first_key", "gateway", "prepare", "up", "work"]
