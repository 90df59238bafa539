"""The window: signed messages in over HTTP, receipts out, and the workers between."""

from tongguan.window.rules import Rules
from tongguan.window.running import FirstKey, Plan, first_key, prepare, serve, up, work
from tongguan.window.serving import Tls

__all__ = ["FirstKey", "Plan", "Rules", "Tls", "first_key", "prepare", "serve", "up", "work"]
