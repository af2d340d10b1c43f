"""Files and structures under the CIDs that any IPFS node gives them, kept without a daemon, read without trusting anybody."""

from prsm_protocol.content.retrieve import Retriever
from prsm_protocol.content.store import BlockNotFound, Store
from prsm_protocol.content.unixfs import add_bytes, add_file, add_tree, read_file

__all__ = ["BlockNotFound", "Retriever", "Store", "add_bytes", "add_file", "add_tree", "read_file"]
