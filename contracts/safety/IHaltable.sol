// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IHaltable
/// @notice A contract whose flows can be halted for a bounded time, and the clock that stands still meanwhile.
/// @dev Flows: 1 INTAKE, 2 PAYOUT, 3 ADMIN. A halt of PAYOUT comes with one of INTAKE: money that cannot leave must not
/// enter or change hands.
interface IHaltable {
    /// @notice Which flows are halted, in one word that is the same in every halted contract.
    /// @dev The KillSwitch keeps to these rules, on which the clock rests:
    /// - a halt starts at once or where the one before it ends, so `payoutFrom` is never in the future;
    /// - when a halt starts after an old one has ended, the old one's seconds are first added to `payoutSpent`.
    struct Halts {
        uint40 intakeFrom;
        uint40 intakeUntil;
        uint40 adminUntil;
        uint40 payoutFrom;
        uint40 payoutUntil;
        uint40 payoutSpent;
    }

    /// @notice Thrown when an action needs a `flow` that is halted until `until`.
    error HaltableFlowHalted(uint8 flow, uint40 until);

    /// @notice Thrown when `caller` is not the KillSwitch.
    error HaltableNotKillSwitch(address caller);

    /// @notice Thrown when `flow` is none of INTAKE, PAYOUT and ADMIN.
    error HaltableFlowUnknown(uint8 flow);

    /// @notice Takes over the KillSwitch's word. Only the KillSwitch may call.
    /// @return taken Always true, so that the caller can tell a target from an address that merely does not revert.
    function setHalts(Halts calldata word) external returns (bool taken);

    /// @notice The contract that may halt flows; zero means that nobody can.
    function killSwitch() external view returns (address);

    /// @notice The word as it was last set.
    function halts() external view returns (Halts memory);

    /// @notice Now, minus all seconds in which PAYOUT stood still. Deadlines that cost somebody money run on it.
    function activeTime() external view returns (uint40);

    /// @notice Whether `flow` is halted at this moment.
    function isFlowHalted(uint8 flow) external view returns (bool);
}
