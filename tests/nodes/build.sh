#!/bin/sh
# Build the real nodes that tests compare with: Hornet 2.0.1 and Kubo 0.42.0, each from its own pinned module, because one
# module shared by both would change the versions of both. Leaves out everything else.
#
#   tests/nodes/build.sh [hornet] [kubo]      binaries go to .tools/nodes, or to $PRSM_NODES_BIN
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${PRSM_NODES_BIN:-$here/../../.tools/nodes}
mkdir -p "$out"
out=$(cd "$out" && pwd)
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
[ $# -gt 0 ] || set -- hornet kubo
for node in "$@"; do
    case $node in
    hornet) package=github.com/iotaledger/hornet/v2 ;;
    kubo) package=github.com/ipfs/kubo/cmd/ipfs ;;
    *) echo "unknown node $node: hornet or kubo" >&2 && exit 2 ;;
    esac
    echo "building $node into $out"
    (cd "$here/$node" && CGO_ENABLED=0 nice -n 10 go build -mod=mod -trimpath -o "$out/$node" "$package")
done
