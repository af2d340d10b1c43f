"""An operator's node: watches the chain, runs models, has them proved, attests and is paid.

One rule shapes everything here: local work only grows, the chain's view may shrink, and the next step is a pure function of
both (`next_step.py`). The package is reached over HTTP and by its commands; nothing imports it.
"""
