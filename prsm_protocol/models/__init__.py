"""Models that chat, embed or predict, behind one interface; a local one ships. Knows nothing of money, chain or traces."""
