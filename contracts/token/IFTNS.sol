// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC3009, IERC3009Cancel} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";

/// @title IFTNS
/// @notice The token that pays for work in PRSM: ERC-20 with permits (ERC-2612) and authorisations (ERC-3009).
/// @dev Assumptions an integrator may make: no hooks, no fee on transfer, no rebase, no owner, no minter.
/// Warning: nonces of authorisations are keyed: 192 bits of key, 64 bits of sequence, in order within a key. Key zero
/// is shared with permits.
interface IFTNS is IERC20, IERC20Permit, IERC3009, IERC3009Cancel {
    /// @notice Thrown when the amounts handed out at deployment do not add up to the supply.
    error FTNSSupplyMismatch(uint256 sum, uint256 supply);

    /// @notice Thrown when there are more or fewer recipients than amounts at deployment.
    error FTNSAllocationMismatch(uint256 recipients, uint256 amounts);

    /// @notice Destroys `amount` of the caller's tokens for ever.
    function burn(uint256 amount) external;

    /// @notice Takes what `from` authorised for the caller, who must be `to`.
    /// @dev The form with one signature of bytes, which a contract wallet (ERC-1271) can give too.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;
}
