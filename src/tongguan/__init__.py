"""Tongguan 通关: the open single window for cross-border e-commerce pilot zones."""

__version__ = "0.1.0"
