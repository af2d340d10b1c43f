"""The IOTA tangle: feeless messages that anybody can read, with receipts that prove their time.

Carries vouchers, usage and notices between parties; holds no FTNS and judges no money. `client.StardustLedger`
talks to a node, `archive.Archive` keeps what nodes prune, `vouchers.VoucherBook` and `usage.Meter` exchange payment
for use, `inclusion` makes and checks receipts, `node` is a development node.

Nothing is imported here: the node and the worker that owns iota-sdk are processes of their own, and start with this
package.
"""
