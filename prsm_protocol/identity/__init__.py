"""Keys that sign: one seed, many unlinkable Ed25519 identities, and the file that keeps the seed.

Sees `types` and `errors` alone; never the chain. Ed25519 stays off chain; wallets are `chain`'s.
"""

from prsm_protocol.identity.derive import Purpose, derive
from prsm_protocol.identity.keystore import Keystore
from prsm_protocol.identity.sign import Identity, did_of, public_key_of, verify

__all__ = ["Identity", "Keystore", "Purpose", "derive", "did_of", "public_key_of", "verify"]
