"""One file a kind of task. Each makes its own output block, its own claims and its own refusals."""
