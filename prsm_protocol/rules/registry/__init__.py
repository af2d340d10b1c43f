"""Records, their ancestors and royalties: the mirror of contracts/registry."""
