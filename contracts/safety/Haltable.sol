// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IHaltable} from "./IHaltable.sol";
import {IKillSwitch} from "./IKillSwitch.sol";

/// @title Haltable
/// @notice Flows that can be halted for a bounded time, and the clock that stands still meanwhile.
/// @dev Design:
/// - The word is pushed by the KillSwitch, so a guarded call reads one slot of its own contract.
/// - The clock is derived, never counted up: nobody has to call anything when a halt ends.
/// Trust assumptions: the KillSwitch can delay every guarded call and bends no result; it keeps to the rules of
/// `Halts`.
abstract contract Haltable is IHaltable {
    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev Money and work come in or change hands.
    uint8 internal constant INTAKE = 1;
    /// @dev Money leaves to those who earned it.
    uint8 internal constant PAYOUT = 2;
    /// @dev Rules change.
    uint8 internal constant ADMIN = 3;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IHaltable
    address public immutable killSwitch;

    Halts private _halts;

    // ── modifiers ────────────────────────────────────────────────────────────────────────────────────────────────────

    modifier whenFlowing(uint8 flow) {
        _requireFlowing(flow);
        _;
    }

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev A contract deployed later copies the word, else its clock would run ahead of the others by all past halts.
    constructor(address killSwitch_) {
        killSwitch = killSwitch_;
        if (killSwitch_.code.length > 0) {
            _halts = IKillSwitch(killSwitch_).halts();
        }
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IHaltable
    function halts() external view returns (Halts memory) {
        return _halts;
    }

    /// @inheritdoc IHaltable
    function activeTime() public view returns (uint40) {
        Halts memory h = _halts;
        uint40 present = uint40(block.timestamp);
        uint40 end = present < h.payoutUntil ? present : h.payoutUntil;
        uint40 standing = end > h.payoutFrom ? end - h.payoutFrom : 0;
        return present - h.payoutSpent - standing;
    }

    /// @inheritdoc IHaltable
    function isFlowHalted(uint8 flow) public view returns (bool) {
        return block.timestamp < _haltedUntil(flow);
    }

    // ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IHaltable
    function setHalts(Halts calldata word) external returns (bool taken) {
        require(msg.sender == killSwitch, HaltableNotKillSwitch(msg.sender));
        _halts = word;
        return true;
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev A function, because a modifier's body is copied into every action that uses it.
    function _requireFlowing(uint8 flow) internal view {
        uint40 until = _haltedUntil(flow);
        require(block.timestamp >= until, HaltableFlowHalted(flow, until));
    }

    function _haltedUntil(uint8 flow) private view returns (uint40) {
        if (flow == INTAKE) {
            return _halts.intakeUntil;
        }
        if (flow == PAYOUT) {
            return _halts.payoutUntil;
        }
        require(flow == ADMIN, HaltableFlowUnknown(flow));
        return _halts.adminUntil;
    }
}
