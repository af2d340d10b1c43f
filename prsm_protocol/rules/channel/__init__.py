"""Payment channels: the mirror of contracts/channel, and the usage that vouchers commit to."""
