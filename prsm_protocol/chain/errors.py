"""What the chain refuses, by name.

    ChainError
    ├── ContractError              one class an error of a contract: `errors.EscrowBudgetTooLow`, with its values
    │   ├── ContractReverted       require with a sentence (older libraries)
    │   ├── ContractPanicked       a check of the compiler's own
    │   └── ContractErrorUnknown   an error of a contract that is none of ours
    ├── EndpointUnreachable · RpcRefused
    └── of sending: TransactionFailed · TransactionUnconfirmed · NonceTaken · GasMoneyTooLow · FeeAboveLimit

The classes of contract errors are made from the exported ABIs, so none can be missing; their sentences are the
notices of the interfaces. The same error in two contracts (a library's) is one class.
"""

from __future__ import annotations

from typing import ClassVar

from prsm_protocol.chain import abi
from prsm_protocol.errors import ChainError

REMEDIES = {
    "VaultFreeTooLow": "deposit FTNS into the Vault first, or ask for less",
    "ERC20InsufficientBalance": "this account holds too little FTNS; have some sent to it first",
    "ERC20InsufficientAllowance": "approve the Vault for the amount before the deposit",
    "EscrowBudgetTooLow": "top up the job or choose a cheaper offer",
    "EscrowQuoteExpired": "ask the operator for a new quote",
    "EscrowSignatureInvalid": "ask the operator for a new quote; its signing key may have changed",
    "EscrowDeliveredLate": "the price returns to the buyer; deliver earlier next time",
    "OracleRegistryNotRegistered": "register as an operator first",
    "OracleRegistryCoverTooLow": "add stake or wait until earlier results are final",
    "ProvenanceCommitmentTooYoung": "wait a few seconds and register again",
    "ProvenanceCommitmentExpired": "commit again, then register",
    "VerifierRouterNotEnabled": "wait until the notice of the circuit has ended",
}


class ContractError(ChainError):
    """A contract refused. `signature` and `selector` are those of its ABI; the values are attributes."""

    signature: ClassVar[str] = ""
    selector: ClassVar[bytes] = b""
    notice: ClassVar[str] = ""

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        if self.signature:
            self.args = (_sentence(type(self), values),)


class ContractReverted(ContractError):
    text = "the contract refused: {reason!r}"


class ContractPanicked(ContractError):
    text = "the contract stopped itself with panic code {code:#x}; this is a fault in the contract, please report it"


class ContractErrorUnknown(ContractError):
    text = "the contract refused with an error that none of our ABIs has: {data}; check the address and the ABI version"


class RevertedWithoutReason(ContractError):
    text = "the contract refused {what} without saying why; check that the address holds the contract"


class EndpointUnreachable(ChainError):
    exit_code = 6
    text = "the chain's endpoint {url} cannot be reached ({reason}); start it (prsm up) or set another"


class RpcRefused(ChainError):
    text = "the endpoint refused {method}: {message} (code {code})"


class TransactionFailed(ChainError):
    text = "transaction {hash} was mined and failed without a reason (gas {gas_used} of {gas_limit}); raise the limit"


class TransactionUnconfirmed(ChainError):
    text = "transaction {hash} (nonce {nonce}) was not mined within {seconds} s; confirm again later, or raise its fee"


class NonceTaken(ChainError):
    text = (
        "nonce {nonce} of {account} was used by a transaction that is not in this journal; is another process or "
        "machine using this key? prepare the call again"
    )


class GasMoneyTooLow(ChainError):
    text = "{account} has {balance} wei for gas and needs {needed}; send it coin of the chain"


class FeeAboveLimit(ChainError):
    text = "a fee of {fee} wei a unit of gas is above the limit of {limit}; wait for a calmer chain or raise the limit"


def from_data(data: bytes, what: str = "the call") -> ContractError:
    """The error that these revert bytes stand for."""
    if len(data) < 4:
        return RevertedWithoutReason(what=what)
    selector, body = data[:4], data[4:]
    if selector == b"\x08\xc3\x79\xa0":
        (reason,) = abi.decode("Error", _STRING, body)
        return ContractReverted(reason=reason)
    if selector == b"\x4e\x48\x7b\x71":
        (code,) = abi.decode("Panic", _NUMBER, body)
        return ContractPanicked(code=code)
    known = _BY_SELECTOR.get(selector)
    if known is None:
        return ContractErrorUnknown(data="0x" + data.hex())
    kind, inputs = known
    values = abi.decode(kind.__name__, inputs, body)
    return kind(**{part.name: value for part, value in zip(inputs, values, strict=True)})


def by_name(name: str) -> type[ContractError]:
    """The class of a contract's error."""
    return _BY_NAME[name]


def names() -> list[str]:
    return sorted(_BY_NAME)


def __getattr__(name: str) -> type[ContractError]:
    try:
        return _BY_NAME[name]
    except KeyError:
        raise AttributeError(f"no contract has an error {name!r}") from None


_STRING = (abi.Parameter("reason", "string", "", ()),)
_NUMBER = (abi.Parameter("code", "uint256", "", ()),)
_BY_SELECTOR: dict[bytes, tuple[type[ContractError], tuple[abi.Parameter, ...]]] = {}
_BY_NAME: dict[str, type[ContractError]] = {}


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _sentence(kind: type[ContractError], values: dict[str, object]) -> str:
    why = kind.notice.strip().removeprefix("Thrown when ").rstrip(".")
    shown = ", ".join(f"{name} {_show(value)}" for name, value in values.items())
    remedy = REMEDIES.get(kind.__name__, "")
    parts = [kind.__name__, f": {why}" if why else "", f" ({shown})" if shown else "", f"; {remedy}" if remedy else ""]
    return "".join(parts)


def _define() -> None:
    for contract in abi.CONTRACTS:
        for error in abi.load(contract).errors:
            known = _BY_NAME.get(error.name)
            if known is not None and known.selector == error.selector:
                continue
            if known is not None:
                raise TypeError(f"two contracts have an error {error.name} with different values")
            values = {
                "signature": error.signature,
                "selector": error.selector,
                "notice": error.notice,
                "__module__": __name__,
                "__doc__": error.notice,
            }
            kind = type(error.name, (ContractError,), values)
            _BY_NAME[error.name] = kind
            _BY_SELECTOR[error.selector] = (kind, error.inputs)


_define()
