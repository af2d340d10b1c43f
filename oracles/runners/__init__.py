"""How a listing's model is run on this machine, one file a kind of model."""
