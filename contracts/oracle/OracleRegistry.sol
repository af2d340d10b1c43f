// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Haltable} from "../safety/Haltable.sol";
import {IVault} from "../token/IVault.sol";
import {IOracleRegistry} from "./IOracleRegistry.sol";
import {SlashCauses} from "./SlashCauses.sol";

/// @title OracleRegistry
/// @notice Operators, the keys that sign for them, and their stakes.
/// @dev Design:
/// - A result locks a part of the stake, so results at risk never exceed what can be taken.
/// - What leaves stays slashable while it waits, longer than any window, so nobody leaves before the challenge.
/// - A key stays bound to its operator for ever: changing keys does not undo a signature.
contract OracleRegistry is IOracleRegistry, Haltable {
    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    enum OperatorStatus {
        NONE,
        REGISTERED,
        BARRED
    }

    struct Operator {
        uint96 stake;
        uint96 locked;
        uint40 since;
        OperatorStatus status;
        address signer;
        uint96 leaving;
        uint40 leavingAt;
        bytes32 profile;
    }

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    IVault public immutable vault;
    address public immutable hub;
    address public immutable arbiter;
    uint40 public immutable exitDelay;
    uint96 public immutable seatUnit;

    mapping(address operator => Operator) private _operators;
    mapping(address signer => address operator) private _operatorOf;
    uint96 private _totalStake;

    // ── modifiers ────────────────────────────────────────────────────────────────────────────────────────────────────

    modifier onlyHub() {
        require(msg.sender == hub, OracleRegistryNotHub(msg.sender));
        _;
    }

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(IVault vault_, address hub_, address arbiter_, address killSwitch_, uint40 exitDelay_, uint96 seatUnit_)
        Haltable(killSwitch_)
    {
        vault = vault_;
        hub = hub_;
        arbiter = arbiter_;
        exitDelay = exitDelay_;
        seatUnit = seatUnit_;
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IOracleRegistry
    function operatorOf(address signer) external view returns (address) {
        return _operatorOf[signer];
    }

    /// @inheritdoc IOracleRegistry
    function signerOf(address operator) external view returns (address) {
        return _operators[operator].signer;
    }

    /// @inheritdoc IOracleRegistry
    function coverOf(address operator)
        external
        view
        returns (uint96 stake, uint96 locked, uint96 leaving, uint40 leavingAt)
    {
        Operator storage o = _operators[operator];
        return (o.stake, o.locked, o.leaving, o.leavingAt);
    }

    /// @inheritdoc IOracleRegistry
    function seatsOf(address operator) external view returns (uint256) {
        Operator storage o = _operators[operator];
        return o.status == OperatorStatus.REGISTERED ? o.stake / seatUnit : 0;
    }

    /// @inheritdoc IOracleRegistry
    function sinceOf(address operator) external view returns (uint40) {
        return _operators[operator].since;
    }

    /// @inheritdoc IOracleRegistry
    function profileOf(address operator) external view returns (bytes32) {
        return _operators[operator].profile;
    }

    /// @inheritdoc IOracleRegistry
    function isBarred(address operator) external view returns (bool) {
        return _operators[operator].status == OperatorStatus.BARRED;
    }

    /// @inheritdoc IOracleRegistry
    function totalStake() external view returns (uint96) {
        return _totalStake;
    }

    // ── actions of an operator ───────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IOracleRegistry
    function register(address signer, bytes32 profile, uint96 stake) external whenFlowing(INTAKE) {
        Operator storage o = _operators[msg.sender];
        require(o.status != OperatorStatus.BARRED, OracleRegistryOperatorBarred(msg.sender));
        require(o.status == OperatorStatus.NONE, OracleRegistryAlreadyRegistered(msg.sender));
        _bind(signer);
        o.status = OperatorStatus.REGISTERED;
        o.signer = signer;
        o.profile = profile;
        o.since = uint40(block.timestamp);
        emit OperatorRegistered(msg.sender, signer, profile);
        if (stake > 0) {
            _addStake(o, stake);
        }
    }

    /// @inheritdoc IOracleRegistry
    function addStake(uint96 amount) external whenFlowing(INTAKE) {
        Operator storage o = _standing(msg.sender);
        o.since = uint40(block.timestamp);
        _addStake(o, amount);
    }

    /// @inheritdoc IOracleRegistry
    function setSigner(address signer) external {
        Operator storage o = _standing(msg.sender);
        _bind(signer);
        emit OperatorSignerChanged(msg.sender, o.signer, signer);
        o.signer = signer;
    }

    /// @inheritdoc IOracleRegistry
    function setProfile(bytes32 profile) external {
        _standing(msg.sender).profile = profile;
        emit OperatorProfileChanged(msg.sender, profile);
    }

    /// @inheritdoc IOracleRegistry
    function requestExit(uint96 amount) external {
        Operator storage o = _operators[msg.sender];
        require(o.status != OperatorStatus.NONE, OracleRegistryNotRegistered(msg.sender));
        require(amount > 0, OracleRegistryNothingLeaving(msg.sender));
        require(o.leaving == 0, OracleRegistryExitPending(o.leavingAt));
        uint96 free = o.stake - o.locked;
        require(amount <= free, OracleRegistryStakeCovered(free, amount));
        uint40 readyAt = activeTime() + exitDelay;
        o.stake -= amount;
        o.leaving = amount;
        o.leavingAt = readyAt;
        _totalStake -= amount;
        emit OperatorExitRequested(msg.sender, amount, readyAt);
    }

    /// @inheritdoc IOracleRegistry
    function completeExit(address operator) external {
        Operator storage o = _operators[operator];
        uint96 amount = o.leaving;
        require(amount > 0, OracleRegistryNothingLeaving(operator));
        require(activeTime() >= o.leavingAt, OracleRegistryExitNotReady(o.leavingAt));
        o.leaving = 0;
        o.leavingAt = 0;
        emit OperatorExitCompleted(operator, amount);
        IVault.Credit[] memory credits = new IVault.Credit[](1);
        credits[0] = IVault.Credit(operator, amount);
        vault.move(address(this), credits);
    }

    // ── actions of hub and Arbiter ───────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IOracleRegistry
    function cover(address operator, address signer, uint96 amount) external onlyHub {
        Operator storage o = _standing(operator);
        require(o.signer == signer, OracleRegistrySignerNotCurrent(signer));
        uint96 free = o.stake - o.locked;
        require(amount <= free, OracleRegistryCoverTooLow(free, amount));
        o.locked += amount;
    }

    /// @inheritdoc IOracleRegistry
    function uncover(address operator, uint96 amount) external onlyHub {
        Operator storage o = _operators[operator];
        // A slash beyond one result's cover may have eaten into what is locked: never below nothing.
        o.locked = amount < o.locked ? o.locked - amount : 0;
    }

    /// @inheritdoc IOracleRegistry
    function slash(address operator, uint96 amount, address beneficiary, uint8 cause) external {
        require(msg.sender == hub || msg.sender == arbiter, OracleRegistryNotSlasher(msg.sender));
        Operator storage o = _operators[operator];
        require(o.status != OperatorStatus.NONE, OracleRegistryNotRegistered(operator));
        uint96 fromStake = amount < o.stake ? amount : o.stake;
        uint96 rest = amount - fromStake;
        uint96 fromLeaving = rest < o.leaving ? rest : o.leaving;
        o.stake -= fromStake;
        o.leaving -= fromLeaving;
        if (o.locked > o.stake) {
            o.locked = o.stake;
        }
        _totalStake -= fromStake;
        if (cause == SlashCauses.EQUIVOCATION) {
            o.status = OperatorStatus.BARRED;
            o.signer = address(0);
        }
        uint96 taken = fromStake + fromLeaving;
        uint96 reward = taken / 2;
        uint96 burnt = taken - reward;
        emit OperatorSlashed(operator, taken, burnt, beneficiary, cause);
        if (taken > 0) {
            IVault.Credit[] memory credits = new IVault.Credit[](2);
            credits[0] = IVault.Credit(address(0), burnt);
            credits[1] = IVault.Credit(beneficiary, reward);
            vault.move(address(this), credits);
        }
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _standing(address operator) private view returns (Operator storage o) {
        o = _operators[operator];
        require(o.status != OperatorStatus.NONE, OracleRegistryNotRegistered(operator));
        require(o.status != OperatorStatus.BARRED, OracleRegistryOperatorBarred(operator));
    }

    function _bind(address signer) private {
        require(signer != address(0), OracleRegistryZeroSigner());
        address owner = _operatorOf[signer];
        require(owner == address(0) || owner == msg.sender, OracleRegistrySignerTaken(signer));
        _operatorOf[signer] = msg.sender;
    }

    function _addStake(Operator storage o, uint96 amount) private {
        o.stake += amount;
        _totalStake += amount;
        emit OperatorStakeAdded(msg.sender, amount);
        IVault.Credit[] memory credits = new IVault.Credit[](1);
        credits[0] = IVault.Credit(address(this), amount);
        vault.move(msg.sender, credits);
    }
}
