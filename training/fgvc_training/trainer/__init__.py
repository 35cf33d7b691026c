"""The training loop: configuration, data loading, checkpoints, logs.  What is trained is a `task` (see task.py).

`task` says what a task gives, `config` reads TOML, `loop` trains; the other modules are one concern of the loop each.
"""
