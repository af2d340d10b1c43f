"""Results, proofs and circuits: the mirror of contracts/oracle."""
