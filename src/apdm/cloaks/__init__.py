"""Cloaks: small changes to photographs after which a model learns their subject badly."""
