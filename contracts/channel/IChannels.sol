// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IChannels
/// @notice Deposits from which cumulative vouchers, exchanged off the chain, are paid.
/// @dev A channel's id is `keccak256(abi.encode(chainId, channels, terms))`, so its terms cannot change.
/// Vouchers are signed by the terms' `signer`, a plain key, over the domain `PRSM Channels`, version `1`, as
/// `Voucher(bytes32 channelId,uint64 sequence,uint96 cumulative,bytes32 usageRoot)`.
interface IChannels {
    /// @notice What payer and payee agreed on. `closeDelay` is in seconds of the active clock.
    struct ChannelTerms {
        address payer;
        address payee;
        address signer;
        bytes32[] records;
        uint96 settlerFee;
        uint32 closeDelay;
        uint256 salt;
    }

    /// @notice A promise that `cumulative` is owed in all. It never expires.
    /// @dev Money follows `cumulative` alone. `sequence` orders equal sums and `usageRoot` commits to what was used;
    /// both are only emitted.
    struct Voucher {
        uint64 sequence;
        uint96 cumulative;
        bytes32 usageRoot;
    }

    /// @notice A voucher with all that is needed to settle it.
    struct Settlement {
        ChannelTerms terms;
        Voucher voucher;
        bytes signature;
    }

    enum ChannelStatus {
        NONE,
        OPEN,
        CLOSED
    }

    /// @notice A channel. `closesAt` is zero until the payer starts to close it.
    struct Channel {
        uint96 deposit;
        uint96 settled;
        uint40 closesAt;
        ChannelStatus status;
    }

    /// @notice Emitted when a channel is opened with a deposit of `amount`.
    event ChannelOpened(
        bytes32 indexed channelId, address indexed payer, address indexed payee, ChannelTerms terms, uint96 amount
    );

    /// @notice Emitted when `from` raised the deposit.
    event ChannelToppedUp(bytes32 indexed channelId, address indexed from, uint96 amount);

    /// @notice Emitted when a voucher was settled. `paid` left the deposit: fee, royalties and the settler's part
    /// included.
    event VoucherSettled(
        bytes32 indexed channelId,
        address indexed payee,
        address indexed settler,
        uint96 cumulative,
        uint96 paid,
        uint64 sequence,
        bytes32 usageRoot
    );

    /// @notice Emitted when a batch passed over a voucher; `reason` is the selector of the error it would have met
    /// alone.
    event VoucherSkipped(bytes32 indexed channelId, bytes4 reason);

    /// @notice Emitted when the payer began to close; from `closesAt` on the active clock the rest can be withdrawn.
    event ChannelCloseStarted(bytes32 indexed channelId, uint40 closesAt);

    /// @notice Emitted when a channel ended and `returned` went back to the payer.
    event ChannelClosed(bytes32 indexed channelId, uint96 returned);

    /// @notice Thrown when a channel with these terms exists or existed.
    error ChannelsKnown(bytes32 channelId);

    /// @notice Thrown when there is no channel with these terms.
    error ChannelsUnknown(bytes32 channelId);

    /// @notice Thrown when `caller` is not the payer.
    error ChannelsNotPayer(address caller);

    /// @notice Thrown when `caller` is not the payee.
    error ChannelsNotPayee(address caller);

    /// @notice Thrown when the payee could never take what it is paid: nobody, or a module of the Vault.
    error ChannelsPayeeInvalid(address payee);

    /// @notice Thrown when the payer is closing the channel already.
    error ChannelsClosing(uint40 closesAt);

    /// @notice Thrown when the payee would have too little time to settle.
    error ChannelsDelayTooShort(uint32 delay, uint32 min);

    /// @notice Thrown when the payer's rest would be locked for too long.
    error ChannelsDelayTooLong(uint32 delay, uint32 max);

    /// @notice Thrown when an amount is zero.
    error ChannelsZeroAmount();

    /// @notice Thrown when the terms name more records than a payment may.
    error ChannelsTooManyRecords(uint256 count, uint256 max);

    /// @notice Thrown when a voucher was not signed by `signer`.
    error ChannelsSignatureInvalid(address signer, address recovered);

    /// @notice Thrown when the channel has ended.
    error ChannelsAlreadyClosed(bytes32 channelId);

    /// @notice Thrown when the rest is withdrawn before `closesAt`, which is zero when nobody began to close.
    error ChannelsStillOpen(uint40 closesAt);

    /// @notice Opens a channel with a deposit out of the caller's free balance. Only the payer named in the terms.
    /// @dev Warning: terms never change; a wrong signer or a lost key costs at most the delay.
    function open(ChannelTerms calldata terms, uint96 amount) external returns (bytes32 channelId);

    /// @notice Raises the deposit out of the caller's free balance; whoever pays, the rest returns to the payer.
    function topUp(ChannelTerms calldata terms, uint96 amount) external;

    /// @notice Pays what a voucher adds to what was settled, as far as the deposit reaches. Anybody may call, in every
    /// halt.
    /// @dev An older or equal voucher changes nothing and does not revert; one above the deposit stays good after a
    /// top-up.
    function settle(ChannelTerms calldata terms, Voucher calldata voucher, bytes calldata signature) external;

    /// @notice Settles many vouchers and passes over those that would revert.
    function settleMany(Settlement[] calldata settlements) external;

    /// @notice Begins to close: after the delay on the active clock the rest is the payer's. Only the payer; final.
    function startClose(ChannelTerms calldata terms) external;

    /// @notice Ends the channel at once and returns the rest. Only the payee.
    /// @dev Warning: vouchers that were not settled before are lost.
    function close(ChannelTerms calldata terms) external;

    /// @notice Ends a channel whose delay is over and returns the rest to the payer.
    function withdraw(ChannelTerms calldata terms) external;

    /// @notice The channel, zeros when there is none.
    function channelOf(bytes32 channelId) external view returns (Channel memory);

    /// @notice The id of the channel with these terms.
    function channelIdOf(ChannelTerms calldata terms) external view returns (bytes32);
}
