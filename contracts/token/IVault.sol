// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IVault
/// @notice Everybody's balance of FTNS. Modules move balances inside; FTNS themselves move only when an owner puts them
/// in or takes them out.
/// @dev An account has a *free* balance, its own, and, if it is a module, a *held* one: what others entrusted to it.
interface IVault {
    /// @notice One part of a movement: `amount` for `to`. A zero `to` burns it; a zero amount is passed over.
    struct Credit {
        address to;
        uint96 amount;
    }

    /// @notice Emitted when `from` put in FTNS for `to`.
    event VaultDeposited(address indexed from, address indexed to, uint96 amount);

    /// @notice Emitted when `account` took out FTNS, sent to `to`.
    event VaultWithdrawn(address indexed account, address indexed to, uint96 amount);

    /// @notice Emitted when `account` set aside `amount`, which leaves at `readyAt` whatever is halted.
    event VaultExitQueued(address indexed account, uint96 amount, uint40 readyAt);

    /// @notice Emitted when what `account` had set aside was sent to it.
    event VaultExitCompleted(address indexed account, uint96 amount);

    /// @notice Emitted for every credit of a movement; a zero `to` is the burn pile.
    event VaultMoved(address indexed module, address indexed from, address indexed to, uint96 amount);

    /// @notice Emitted when `account` allows, or no longer allows, a later module to pull from its free balance.
    event VaultModuleAcceptanceChanged(address indexed account, address indexed module, bool accepted);

    /// @notice Emitted when governance announces a module that may act from `activeFrom`.
    event VaultModuleAdded(address indexed module, uint40 activeFrom);

    /// @notice Emitted when a module loses the right to pull.
    event VaultModuleRetired(address indexed module);

    /// @notice Emitted when the pile was burnt.
    event VaultPileBurnt(uint96 amount);

    /// @notice Thrown when an amount is zero.
    error VaultZeroAmount();

    /// @notice Thrown when FTNS would go where nobody can use them: to nobody, to a module's free balance, to the
    /// Vault.
    error VaultReceiverInvalid(address to);

    /// @notice Thrown when a free balance is smaller than what is asked of it.
    error VaultFreeTooLow(uint96 free, uint256 amount);

    /// @notice Thrown when a module holds less than it wants to pay.
    error VaultHeldTooLow(uint96 held, uint256 amount);

    /// @notice Thrown when PAYOUT is halted and `amount` is above what today's allowance leaves.
    error VaultExitSlowed(uint96 amount, uint96 allowanceLeft);

    /// @notice Thrown when PAYOUT is halted and a withdrawal names somebody else than the owner.
    error VaultRedirectedWhileHalted(address to);

    /// @notice Thrown when the account has an exit under way, ready at `readyAt`.
    error VaultExitPending(uint40 readyAt);

    /// @notice Thrown when an exit is completed before `readyAt` while PAYOUT is halted.
    error VaultExitNotReady(uint40 readyAt);

    /// @notice Thrown when `account` has no exit under way.
    error VaultNoExit(address account);

    /// @notice Thrown when `module` is no module, or none that can be accepted.
    error VaultNotModule(address module);

    /// @notice Thrown when a retired module wants to pull, or is retired again.
    error VaultModuleIsRetired(address module);

    /// @notice Thrown when a later module pulls from an account that did not accept it.
    error VaultModuleNotAccepted(address account, address module);

    /// @notice Thrown when a module is announced that is or was one.
    error VaultModuleKnown(address module);

    /// @notice Thrown when an announced module acts before `activeFrom`.
    error VaultModuleNotReady(uint40 activeFrom);

    /// @notice Puts `amount` of the caller's FTNS into `to`'s free balance. The caller must have approved it.
    function deposit(address to, uint96 amount) external;

    /// @notice Puts `amount` of `from`'s FTNS into `from`'s free balance, by its ERC-3009 authorisation.
    /// @dev Anybody may relay it; the authorisation names the Vault as payee, so nobody else can use it first.
    function depositBySig(
        address from,
        uint96 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;

    /// @notice Takes `amount` out of the caller's free balance and sends it to `to`.
    /// @dev Warning: while PAYOUT is halted only up to the daily allowance, and only to the caller itself.
    function withdraw(uint96 amount, address to) external;

    /// @notice Sets `amount` of the caller's free balance aside, to leave after the exit delay whatever is halted.
    /// @dev Warning: one exit at a time.
    function queueExit(uint96 amount) external;

    /// @notice Sends what `account` set aside to it: at its time, or at once when PAYOUT flows.
    function completeExit(address account) external;

    /// @notice Moves the sum of `credits` from `from` to those they name. Only modules may call.
    /// @dev - `from` the caller: what it holds falls; else the free balance of `from`.
    /// - a credit raises what `to` holds where `to` is a module, the burn pile where it is zero, the free balance else.
    /// Warning: a core module must pull only from its caller or from who signed.
    function move(address from, Credit[] calldata credits) external;

    /// @notice Allows, or no longer allows, a module added after deployment to pull from the caller's free balance.
    function acceptModule(address module, bool accepted) external;

    /// @notice Announces a module; it may act after the notice, on accounts that accepted it. Only governance.
    function addModule(address module) external;

    /// @notice Takes a module's right to pull, at once; it still pays out what it holds. Only governance.
    function retireModule(address module) external;

    /// @notice Burns what lies on the burn pile.
    function burnPile() external;

    /// @notice Sets what an account may withdraw a day while PAYOUT is halted. Only governance.
    function setExitAllowance(uint96 amount) external;

    /// @notice What `account` may spend or withdraw.
    function freeOf(address account) external view returns (uint96);

    /// @notice What was entrusted to `module`.
    function heldBy(address module) external view returns (uint96);

    /// @notice What `account` set aside, and when it leaves; zeros when nothing.
    function exitOf(address account) external view returns (uint96 amount, uint40 readyAt);

    /// @notice Whether `account` is a module, its notice over, retired ones included.
    function isModule(address account) external view returns (bool);

    /// @notice Whether `module` may no longer pull.
    function isRetired(address module) external view returns (bool);

    /// @notice When a module added after deployment may act; zero when it was never announced.
    function moduleActiveFrom(address module) external view returns (uint40);

    /// @notice Whether `account` lets the later module `module` pull.
    function isAccepted(address account, address module) external view returns (bool);

    /// @notice What `account` may still withdraw today if PAYOUT is halted.
    function exitAllowanceLeft(address account) external view returns (uint96);

    /// @notice What a day's allowance is while PAYOUT is halted.
    function exitAllowance() external view returns (uint96);

    /// @notice What waits to be burnt.
    function pile() external view returns (uint96);
}
