module prsm.invalid/tests/nodes/kubo

go 1.25.0

tool github.com/ipfs/kubo/cmd/ipfs

require github.com/ipfs/kubo v0.42.0
