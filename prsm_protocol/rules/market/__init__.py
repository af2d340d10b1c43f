"""Jobs, tasks and what they cost: the mirror of contracts/market."""
