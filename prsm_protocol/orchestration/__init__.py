"""From a question to an answer with sources (the vision's NWTN): clarify, split, route, execute, compile.

Takes `types.Steps` for everything that lasts, `Payments` for everything that costs and `Record` for everything that a stranger
shall be able to check; never sleeps, retries, signs a transaction or opens a database by itself.
"""
