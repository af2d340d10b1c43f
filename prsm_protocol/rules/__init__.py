"""The protocol as pure functions, by the same domains as contracts/: no clock, no network, no settings."""
