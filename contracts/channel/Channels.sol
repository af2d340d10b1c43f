// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IRoyalties} from "../registry/IRoyalties.sol";
import {Haltable} from "../safety/Haltable.sol";
import {IVault} from "../token/IVault.sol";
import {IChannels} from "./IChannels.sol";

/// @title Channels
/// @notice Deposits from which cumulative vouchers, exchanged off the chain, are paid.
/// @dev Design:
/// - Vouchers are cumulative and never lapse: what can lapse can be accepted too late. Only closing ends a channel.
/// - A voucher above the deposit pays what is there and is not used up.
/// - The closing delay runs on the active clock: a halt never eats the payee's time.
/// Trust assumptions: the signer is a plain key, because a contract could deny tomorrow what it signed today; somebody
/// on the payee's side is awake once within the delay.
contract Channels is IChannels, EIP712, Haltable {
    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    bytes32 private constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 channelId,uint64 sequence,uint96 cumulative,bytes32 usageRoot)");

    /// @dev As many as `Royalties` books for one payment.
    uint256 private constant MAX_RECORDS = 4;

    /// @dev A settler gets at most this part of what it lands, so that landing crumbs for the fee does not pay.
    uint96 private constant SETTLER_DIVISOR = 20;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    IVault public immutable vault;
    IRoyalties public immutable royalties;
    uint32 public immutable delayMin;
    uint32 public immutable delayMax;

    mapping(bytes32 channelId => Channel) private _channels;

    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev Where one payment goes, beside the payee's net.
    struct Cuts {
        uint96 royalty;
        uint96 fee;
        uint96 settler;
    }

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(IVault vault_, IRoyalties royalties_, address killSwitch_, uint32 delayMin_, uint32 delayMax_)
        EIP712("PRSM Channels", "1")
        Haltable(killSwitch_)
    {
        vault = vault_;
        royalties = royalties_;
        delayMin = delayMin_;
        delayMax = delayMax_;
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IChannels
    function channelOf(bytes32 channelId) external view returns (Channel memory) {
        return _channels[channelId];
    }

    /// @inheritdoc IChannels
    function channelIdOf(ChannelTerms calldata terms) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), terms));
    }

    // ── actions: deposits ────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IChannels
    function open(ChannelTerms calldata terms, uint96 amount) external whenFlowing(INTAKE) returns (bytes32 channelId) {
        require(msg.sender == terms.payer, ChannelsNotPayer(msg.sender));
        require(amount > 0, ChannelsZeroAmount());
        channelId = channelIdOf(terms);
        Channel storage channel = _channels[channelId];
        require(channel.status == ChannelStatus.NONE, ChannelsKnown(channelId));
        _requireSound(terms);
        channel.deposit = amount;
        channel.status = ChannelStatus.OPEN;
        emit ChannelOpened(channelId, terms.payer, terms.payee, terms, amount);
        _move(msg.sender, address(this), amount);
    }

    /// @inheritdoc IChannels
    function topUp(ChannelTerms calldata terms, uint96 amount) external whenFlowing(INTAKE) {
        require(amount > 0, ChannelsZeroAmount());
        (bytes32 channelId, Channel storage channel) = _opened(terms);
        // Nobody would learn of a deposit that leaves again before it can be earned.
        require(channel.closesAt == 0, ChannelsClosing(channel.closesAt));
        channel.deposit += amount;
        emit ChannelToppedUp(channelId, msg.sender, amount);
        _move(msg.sender, address(this), amount);
    }

    // ── actions: settling ────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IChannels
    function settle(ChannelTerms calldata terms, Voucher calldata voucher, bytes calldata signature) external {
        (bytes32 channelId, bytes4 reason, address recovered) = _judge(terms, voucher, signature);
        require(reason != ChannelsUnknown.selector, ChannelsUnknown(channelId));
        require(reason != ChannelsAlreadyClosed.selector, ChannelsAlreadyClosed(channelId));
        require(reason != ChannelsSignatureInvalid.selector, ChannelsSignatureInvalid(terms.signer, recovered));
        (uint96 due, Cuts memory cuts) = _book(channelId, terms, voucher);
        if (due > 0) {
            IVault.Credit[] memory credits = new IVault.Credit[](4);
            credits[0] = IVault.Credit(terms.payee, due - cuts.royalty - cuts.fee - cuts.settler);
            _pay(credits, 1, cuts);
        }
    }

    /// @inheritdoc IChannels
    function settleMany(Settlement[] calldata settlements) external {
        // One movement for all: a credit for every payee and one for the sum of each cut.
        IVault.Credit[] memory credits = new IVault.Credit[](settlements.length + 3);
        Cuts memory sums;
        for (uint256 i = 0; i < settlements.length; ++i) {
            Settlement calldata s = settlements[i];
            (bytes32 channelId, bytes4 reason,) = _judge(s.terms, s.voucher, s.signature);
            if (reason != bytes4(0)) {
                emit VoucherSkipped(channelId, reason);
                continue;
            }
            (uint96 due, Cuts memory cuts) = _book(channelId, s.terms, s.voucher);
            credits[i] = IVault.Credit(s.terms.payee, due - cuts.royalty - cuts.fee - cuts.settler);
            sums.royalty += cuts.royalty;
            sums.fee += cuts.fee;
            sums.settler += cuts.settler;
        }
        _pay(credits, settlements.length, sums);
    }

    // ── actions: closing ─────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IChannels
    function startClose(ChannelTerms calldata terms) external {
        require(msg.sender == terms.payer, ChannelsNotPayer(msg.sender));
        (bytes32 channelId, Channel storage channel) = _opened(terms);
        require(channel.closesAt == 0, ChannelsClosing(channel.closesAt));
        uint40 closesAt = activeTime() + terms.closeDelay;
        channel.closesAt = closesAt;
        emit ChannelCloseStarted(channelId, closesAt);
    }

    /// @inheritdoc IChannels
    function close(ChannelTerms calldata terms) external {
        require(msg.sender == terms.payee, ChannelsNotPayee(msg.sender));
        (bytes32 channelId, Channel storage channel) = _opened(terms);
        _end(channelId, channel, terms.payer);
    }

    /// @inheritdoc IChannels
    function withdraw(ChannelTerms calldata terms) external {
        (bytes32 channelId, Channel storage channel) = _opened(terms);
        uint40 closesAt = channel.closesAt;
        require(closesAt != 0 && activeTime() >= closesAt, ChannelsStillOpen(closesAt));
        _end(channelId, channel, terms.payer);
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _requireSound(ChannelTerms calldata terms) private view {
        require(terms.closeDelay >= delayMin, ChannelsDelayTooShort(terms.closeDelay, delayMin));
        require(terms.closeDelay <= delayMax, ChannelsDelayTooLong(terms.closeDelay, delayMax));
        require(terms.payee != address(0) && !vault.isModule(terms.payee), ChannelsPayeeInvalid(terms.payee));
        require(terms.records.length <= MAX_RECORDS, ChannelsTooManyRecords(terms.records.length, MAX_RECORDS));
        royalties.requirePayable(terms.records);
    }

    function _opened(ChannelTerms calldata terms) private view returns (bytes32 channelId, Channel storage channel) {
        channelId = channelIdOf(terms);
        channel = _channels[channelId];
        require(channel.status != ChannelStatus.NONE, ChannelsUnknown(channelId));
        require(channel.status == ChannelStatus.OPEN, ChannelsAlreadyClosed(channelId));
    }

    /// @dev Answers with the selector of the error that stands against a voucher, zero for none: alone it reverts, in a
    /// batch it is passed over.
    function _judge(ChannelTerms calldata terms, Voucher calldata voucher, bytes calldata signature)
        private
        view
        returns (bytes32 channelId, bytes4 reason, address recovered)
    {
        channelId = channelIdOf(terms);
        ChannelStatus status = _channels[channelId].status;
        if (status == ChannelStatus.NONE) {
            return (channelId, ChannelsUnknown.selector, address(0));
        }
        if (status == ChannelStatus.CLOSED) {
            return (channelId, ChannelsAlreadyClosed.selector, address(0));
        }
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, voucher.sequence, voucher.cumulative, voucher.usageRoot))
        );
        ECDSA.RecoverError failure;
        (recovered, failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure != ECDSA.RecoverError.NoError || recovered != terms.signer) {
            reason = ChannelsSignatureInvalid.selector;
        }
    }

    /// @dev Books what a sound voucher adds. Nothing is booked for an older or equal one, which is still emitted: its
    /// sequence and usage root acknowledge use.
    function _book(bytes32 channelId, ChannelTerms calldata terms, Voucher calldata voucher)
        private
        returns (uint96 due, Cuts memory cuts)
    {
        Channel storage channel = _channels[channelId];
        uint96 settled = channel.settled;
        uint96 reach = voucher.cumulative < channel.deposit ? voucher.cumulative : channel.deposit;
        if (reach > settled) {
            due = reach - settled;
            channel.settled = reach;
        }
        emit VoucherSettled(
            channelId, terms.payee, msg.sender, voucher.cumulative, due, voucher.sequence, voucher.usageRoot
        );
        if (due > 0) {
            (cuts.fee, cuts.royalty) = royalties.accrue(terms.records, due);
            if (msg.sender != terms.payee) {
                uint96 most = due / SETTLER_DIVISOR;
                cuts.settler = terms.settlerFee < most ? terms.settlerFee : most;
            }
        }
    }

    /// @dev Fills the last three credits and moves all.
    function _pay(IVault.Credit[] memory credits, uint256 next, Cuts memory cuts) private {
        credits[next] = IVault.Credit(address(royalties), cuts.royalty);
        credits[next + 1] = IVault.Credit(address(0), cuts.fee);
        credits[next + 2] = IVault.Credit(msg.sender, cuts.settler);
        vault.move(address(this), credits);
    }

    function _end(bytes32 channelId, Channel storage channel, address payer) private {
        channel.status = ChannelStatus.CLOSED;
        uint96 returned = channel.deposit - channel.settled;
        emit ChannelClosed(channelId, returned);
        _move(address(this), payer, returned);
    }

    function _move(address from, address to, uint96 amount) private {
        IVault.Credit[] memory credits = new IVault.Credit[](1);
        credits[0] = IVault.Credit(to, amount);
        vault.move(from, credits);
    }
}
