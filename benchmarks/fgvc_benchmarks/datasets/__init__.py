"""Readers of published benchmarks in their official layouts: arrays out, no metric and no model here."""
