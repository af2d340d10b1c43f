"""Durable runs (the vision's VIOLET): a question that was paid for ends in an answer or in a refund, whatever dies meanwhile.

Owns when, where and at what price; what is asked and how it is answered belongs to `orchestration`.
"""
