// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Governed} from "../base/Governed.sol";
import {Haltable} from "../safety/Haltable.sol";
import {IFTNS} from "./IFTNS.sol";
import {IVault} from "./IVault.sol";

/// @title Vault
/// @notice Everybody's balance of FTNS, moved by modules.
/// @dev Design:
/// - One place for all money: one invariant, one door to slow, no token call in hot paths.
/// - `move` is the only way between balances; its debit is the sum of its credits, so nothing is made or lost.
/// - A module announced by votes has a notice and needs each account's acceptance: a hostile vote reaches no balance
///   that never agreed.
/// Trust assumptions:
/// - core modules, fixed at deployment, pull only from their caller or from who signed;
/// - the KillSwitch can slow exits and never stop them; governance can retire a module, never take what lies here.
contract Vault is IVault, Governed, Haltable {
    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev One slot. `allowanceUsed` is what was withdrawn on `allowanceDay` while PAYOUT was halted, in gwei, rounded
    /// up.
    struct Account {
        uint96 free;
        uint96 held;
        uint8 roles;
        uint16 allowanceDay;
        uint40 allowanceUsed;
    }

    struct Exit {
        uint96 amount;
        uint40 readyAt;
    }

    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev Bits of `roles`.
    uint8 private constant CORE = 1;
    uint8 private constant LATER = 2;
    uint8 private constant RETIRED = 4;

    /// @dev What a trip can hold up: at most this per account and day slips through. 10¹² gwei fit `allowanceUsed`.
    uint96 private constant MAX_EXIT_ALLOWANCE = 1000 ether;

    /// @dev The promise that every free balance can leave within a day, in every halt state.
    uint40 private constant MAX_EXIT_DELAY = 24 hours;

    uint96 private constant GWEI = 1 gwei;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    IFTNS public immutable ftns;
    uint40 public immutable exitDelay;
    uint40 public immutable moduleNotice;

    uint96 private _exitAllowance;
    uint96 private _pile;
    mapping(address owner => Account) private _accounts;
    mapping(address owner => Exit) private _exits;
    mapping(address owner => mapping(address module => bool)) private _accepted;
    mapping(address module => uint40 activeFrom) private _activeFrom;

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// @param modules The core set; zero entries, for contracts that are not deployed, are passed over.
    constructor(
        IFTNS ftns_,
        address governance_,
        address killSwitch_,
        address[] memory modules,
        uint96 exitAllowance_,
        uint40 exitDelay_,
        uint40 moduleNotice_
    ) Governed(governance_) Haltable(killSwitch_) {
        _requireWithin("exitDelay", exitDelay_, 0, MAX_EXIT_DELAY);
        _requireWithin("exitAllowance", exitAllowance_, 0, MAX_EXIT_ALLOWANCE);
        ftns = ftns_;
        exitDelay = exitDelay_;
        moduleNotice = moduleNotice_;
        _exitAllowance = exitAllowance_;
        for (uint256 i = 0; i < modules.length; ++i) {
            if (modules[i] != address(0)) {
                _accounts[modules[i]].roles = CORE;
            }
        }
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVault
    function freeOf(address account) external view returns (uint96) {
        return _accounts[account].free;
    }

    /// @inheritdoc IVault
    function heldBy(address module) external view returns (uint96) {
        return _accounts[module].held;
    }

    /// @inheritdoc IVault
    function exitOf(address account) external view returns (uint96 amount, uint40 readyAt) {
        Exit storage e = _exits[account];
        return (e.amount, e.readyAt);
    }

    /// @inheritdoc IVault
    function isModule(address account) external view returns (bool) {
        return _isModule(account, _accounts[account].roles);
    }

    /// @inheritdoc IVault
    function isRetired(address module) external view returns (bool) {
        return _accounts[module].roles & RETIRED != 0;
    }

    /// @inheritdoc IVault
    function moduleActiveFrom(address module) external view returns (uint40) {
        return _activeFrom[module];
    }

    /// @inheritdoc IVault
    function isAccepted(address account, address module) external view returns (bool) {
        return _accepted[account][module];
    }

    /// @inheritdoc IVault
    function exitAllowanceLeft(address account) external view returns (uint96) {
        return _allowanceLeft(_accounts[account]);
    }

    /// @inheritdoc IVault
    function exitAllowance() external view returns (uint96) {
        return _exitAllowance;
    }

    /// @inheritdoc IVault
    function pile() external view returns (uint96) {
        return _pile;
    }

    // ── actions of owners ────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVault
    function deposit(address to, uint96 amount) external {
        _deposit(msg.sender, to, amount);
        // FTNS returns true or reverts.
        ftns.transferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IVault
    function depositBySig(
        address from,
        uint96 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _deposit(from, from, amount);
        ftns.receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, signature);
    }

    /// @inheritdoc IVault
    function withdraw(uint96 amount, address to) external {
        Account storage account = _accounts[msg.sender];
        require(to != address(this), VaultReceiverInvalid(to));
        _debitFree(account, amount);
        if (isFlowHalted(PAYOUT)) {
            require(to == msg.sender, VaultRedirectedWhileHalted(to));
            _useAllowance(account, amount);
        }
        emit VaultWithdrawn(msg.sender, to, amount);
        ftns.transfer(to, amount);
    }

    /// @inheritdoc IVault
    function queueExit(uint96 amount) external {
        require(amount > 0, VaultZeroAmount());
        Exit storage e = _exits[msg.sender];
        require(e.amount == 0, VaultExitPending(e.readyAt));
        _debitFree(_accounts[msg.sender], amount);
        uint40 readyAt = uint40(block.timestamp) + exitDelay;
        _exits[msg.sender] = Exit(amount, readyAt);
        emit VaultExitQueued(msg.sender, amount, readyAt);
    }

    /// @inheritdoc IVault
    function completeExit(address account) external {
        Exit memory e = _exits[account];
        require(e.amount > 0, VaultNoExit(account));
        // The wall clock, since the active one stands still in the very halt that an exit is for.
        require(block.timestamp >= e.readyAt || !isFlowHalted(PAYOUT), VaultExitNotReady(e.readyAt));
        delete _exits[account];
        emit VaultExitCompleted(account, e.amount);
        ftns.transfer(account, e.amount);
    }

    /// @inheritdoc IVault
    function acceptModule(address module, bool accepted) external {
        require(_activeFrom[module] != 0, VaultNotModule(module));
        _accepted[msg.sender][module] = accepted;
        emit VaultModuleAcceptanceChanged(msg.sender, module, accepted);
    }

    // ── actions of modules ───────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVault
    function move(address from, Credit[] calldata credits) external {
        Account storage module = _accounts[msg.sender];
        uint8 roles = module.roles;
        _requireActive(msg.sender, roles);
        uint256 total = 0;
        for (uint256 i = 0; i < credits.length; ++i) {
            total += credits[i].amount;
        }
        if (from == msg.sender) {
            uint96 held = module.held;
            require(held >= total, VaultHeldTooLow(held, total));
            // The check above bounds `total` by a uint96.
            module.held = held - uint96(total);
        } else {
            require(roles & RETIRED == 0, VaultModuleIsRetired(msg.sender));
            require(roles & CORE != 0 || _accepted[from][msg.sender], VaultModuleNotAccepted(from, msg.sender));
            _debitFree(_accounts[from], total);
        }
        for (uint256 i = 0; i < credits.length; ++i) {
            _credit(from, credits[i].to, credits[i].amount);
        }
    }

    // ── actions of anybody ───────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVault
    function burnPile() external {
        uint96 amount = _pile;
        require(amount > 0, VaultZeroAmount());
        _pile = 0;
        emit VaultPileBurnt(amount);
        ftns.burn(amount);
    }

    // ── actions of governance ────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVault
    function addModule(address module) external onlyGovernance {
        Account storage account = _accounts[module];
        require(module != address(0), VaultNotModule(module));
        require(account.roles == 0, VaultModuleKnown(module));
        uint40 activeFrom = uint40(block.timestamp) + moduleNotice;
        account.roles = LATER;
        _activeFrom[module] = activeFrom;
        emit VaultModuleAdded(module, activeFrom);
    }

    /// @inheritdoc IVault
    function retireModule(address module) external onlyGovernance {
        Account storage account = _accounts[module];
        require(account.roles != 0, VaultNotModule(module));
        require(account.roles & RETIRED == 0, VaultModuleIsRetired(module));
        account.roles |= RETIRED;
        emit VaultModuleRetired(module);
    }

    /// @inheritdoc IVault
    function setExitAllowance(uint96 amount) external onlyGovernance {
        _exitAllowance = uint96(_changed("exitAllowance", _exitAllowance, amount, 0, MAX_EXIT_ALLOWANCE));
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _deposit(address from, address to, uint96 amount) private {
        require(amount > 0, VaultZeroAmount());
        // A module's free balance has no owner to spend it, and what a module holds is what its own book says.
        Account storage account = _accounts[to];
        require(to != address(0) && !_isModule(to, account.roles), VaultReceiverInvalid(to));
        account.free += amount;
        emit VaultDeposited(from, to, amount);
    }

    function _debitFree(Account storage account, uint256 amount) private {
        uint96 free = account.free;
        require(free >= amount, VaultFreeTooLow(free, amount));
        // The check above bounds `amount` by a uint96.
        account.free = free - uint96(amount);
    }

    function _credit(address from, address to, uint96 amount) private {
        if (amount == 0) {
            return;
        }
        if (to == address(0)) {
            _pile += amount;
        } else {
            Account storage account = _accounts[to];
            if (_isModule(to, account.roles)) {
                account.held += amount;
            } else {
                account.free += amount;
            }
        }
        emit VaultMoved(msg.sender, from, to, amount);
    }

    /// @dev Until its notice is over an announced address is an ordinary account: announcing somebody's wallet takes
    /// nothing from it.
    function _isModule(address account, uint8 roles) private view returns (bool) {
        return roles & CORE != 0 || (roles & LATER != 0 && block.timestamp >= _activeFrom[account]);
    }

    function _requireActive(address module, uint8 roles) private view {
        require(roles != 0, VaultNotModule(module));
        require(_isModule(module, roles), VaultModuleNotReady(_activeFrom[module]));
    }

    function _useAllowance(Account storage account, uint96 amount) private {
        uint96 left = _allowanceLeft(account);
        require(amount <= left, VaultExitSlowed(amount, left));
        uint40 used = account.allowanceDay == _today() ? account.allowanceUsed : 0;
        account.allowanceDay = _today();
        // Rounded up, so that many small withdrawals never exceed the allowance; at most 10¹² + 1 gwei.
        account.allowanceUsed = used + uint40((uint256(amount) + GWEI - 1) / GWEI);
    }

    function _allowanceLeft(Account storage account) private view returns (uint96) {
        uint96 used = account.allowanceDay == _today() ? uint96(account.allowanceUsed) * GWEI : 0;
        uint96 allowance = _exitAllowance;
        return used < allowance ? allowance - used : 0;
    }

    /// @dev Days since 1970; 16 bits last until the year 2149.
    function _today() private view returns (uint16) {
        return uint16(block.timestamp / 1 days);
    }
}
