"""Purifiers: what an attacker does to photographs that may be cloaked, before he learns from them."""
