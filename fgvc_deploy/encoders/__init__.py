"""Encoder backends: ways to turn a normalised frame into features."""
