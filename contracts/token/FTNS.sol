// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {
    ERC20TransferAuthorization
} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20TransferAuthorization.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {NoncesKeyed} from "@openzeppelin/contracts/utils/NoncesKeyed.sol";
import {IFTNS} from "./IFTNS.sol";

/// @title FTNS
/// @notice The token that pays for work in PRSM.
/// @dev Design:
/// - The whole supply exists at deployment and nobody can mint: a key that cannot mint cannot be stolen.
/// - All behaviour is OpenZeppelin's; the overrides below only join what two of its parts declare.
/// Trust assumptions: none after deployment.
contract FTNS is IFTNS, ERC20Permit, ERC20TransferAuthorization, ERC20Burnable {
    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev 10⁹ FTNS in wei; fits 90 bits, so `uint96` holds any amount.
    uint256 private constant SUPPLY = 1e27;

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(address[] memory recipients, uint256[] memory amounts) ERC20("FTNS", "FTNS") ERC20Permit("FTNS") {
        require(recipients.length == amounts.length, FTNSAllocationMismatch(recipients.length, amounts.length));
        for (uint256 i = 0; i < recipients.length; ++i) {
            _mint(recipients[i], amounts[i]);
        }
        require(totalSupply() == SUPPLY, FTNSSupplyMismatch(totalSupply(), SUPPLY));
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IERC20Permit
    function nonces(address owner) public view override(IERC20Permit, ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    // ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IFTNS
    function burn(uint256 amount) public override(IFTNS, ERC20Burnable) {
        super.burn(amount);
    }

    /// @inheritdoc IFTNS
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) public override(IFTNS, ERC20TransferAuthorization) {
        super.receiveWithAuthorization(from, to, value, validAfter, validBefore, nonce, signature);
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev Permits and authorisations with key zero use up one sequence.
    function _useCheckedNonce(address owner, uint256 keyNonce) internal override(Nonces, NoncesKeyed) {
        super._useCheckedNonce(owner, keyNonce);
    }
}
