"""From a teacher to a small model that one can prove and own (part of the vision's SEAL).

Somebody names a table, a target and a budget and gets a listed model that earns, with its teacher's owner paid, without
choosing a single training option. Nothing here sleeps, signs, pays or opens a database by itself.
"""
