// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IChannels} from "../../../contracts/channel/IChannels.sol";
import {IRoyalties} from "../../../contracts/registry/IRoyalties.sol";
import {IHaltable} from "../../../contracts/safety/IHaltable.sol";
import {IVault} from "../../../contracts/token/IVault.sol";
import {MoneyWorld} from "./MoneyWorld.sol";

contract ChannelsTest is MoneyWorld {
    uint96 private constant DEPOSIT = 100 ether;
    bytes32 private id;

    function setUp() public {
        _deploy();
        id = _open(_terms(), DEPOSIT);
    }

    function _assertChannel(uint96 deposit, uint96 settled, uint40 closesAt, IChannels.ChannelStatus status)
        private
        view
    {
        IChannels.Channel memory channel = channels.channelOf(id);
        assertEq(channel.deposit, deposit);
        assertEq(channel.settled, settled);
        assertEq(channel.closesAt, closesAt);
        assertEq(uint256(channel.status), uint256(status));
    }

    // ── open and top up ──────────────────────────────────────────────────────────────────────────────────────────────

    function test_open_takes_the_deposit_from_the_payer() public {
        IChannels.ChannelTerms memory terms = _terms();
        terms.salt = 2;
        bytes32 other = keccak256(abi.encode(block.chainid, address(channels), terms));
        vm.expectEmit(address(channels));
        emit IChannels.ChannelOpened(other, payer, payee, terms, 7 ether);
        assertEq(_open(terms, 7 ether), other);
        assertEq(channels.channelIdOf(terms), other);
        assertEq(vault.freeOf(payer), RICHES - DEPOSIT - 7 ether);
        assertEq(vault.heldBy(address(channels)), DEPOSIT + 7 ether);
        _assertChannel(DEPOSIT, 0, 0, IChannels.ChannelStatus.OPEN);
        assertLe(address(channels).code.length, 24_576);
    }

    function test_open_refuses_who_is_not_the_payer() public {
        _expect(abi.encodeWithSelector(IChannels.ChannelsNotPayer.selector, stranger));
        vm.prank(stranger);
        channels.open(_terms(), 1);
    }

    function test_open_refuses_nothing_and_terms_used_before() public {
        vm.startPrank(payer);
        _expect(abi.encodeWithSelector(IChannels.ChannelsZeroAmount.selector));
        channels.open(_terms(), 0);
        _expect(abi.encodeWithSelector(IChannels.ChannelsKnown.selector, id));
        channels.open(_terms(), 1);
        vm.stopPrank();
        vm.prank(payee);
        channels.close(_terms());
        _expect(abi.encodeWithSelector(IChannels.ChannelsKnown.selector, id));
        _open(_terms(), 1);
    }

    function test_open_refuses_delays_outside_the_bounds() public {
        IChannels.ChannelTerms memory terms = _terms();
        terms.closeDelay = DELAY_MIN - 1;
        _expect(abi.encodeWithSelector(IChannels.ChannelsDelayTooShort.selector, DELAY_MIN - 1, DELAY_MIN));
        _open(terms, 1);
        terms.closeDelay = DELAY_MAX + 1;
        _expect(abi.encodeWithSelector(IChannels.ChannelsDelayTooLong.selector, DELAY_MAX + 1, DELAY_MAX));
        _open(terms, 1);
        terms.closeDelay = DELAY_MIN;
        _open(terms, 1);
        terms.closeDelay = DELAY_MAX;
        _open(terms, 1);
    }

    function test_open_refuses_a_payee_who_could_take_nothing() public {
        IChannels.ChannelTerms memory terms = _terms();
        address[2] memory refused = [address(0), escrow];
        for (uint256 i = 0; i < 2; ++i) {
            terms.payee = refused[i];
            _expect(abi.encodeWithSelector(IChannels.ChannelsPayeeInvalid.selector, refused[i]));
            _open(terms, 1);
        }
    }

    function test_open_refuses_records_that_cannot_be_paid() public {
        IChannels.ChannelTerms memory terms = _terms();
        terms.records = new bytes32[](5);
        _expect(abi.encodeWithSelector(IChannels.ChannelsTooManyRecords.selector, 5, 4));
        _open(terms, 1);
        terms.records = new bytes32[](1);
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesRecordUnknown.selector, bytes32(0)));
        _open(terms, 1);
    }

    function test_open_refuses_more_than_is_free() public {
        IChannels.ChannelTerms memory terms = _terms();
        terms.salt = 2;
        _expect(
            abi.encodeWithSelector(IVault.VaultFreeTooLow.selector, RICHES - DEPOSIT, uint256(RICHES) - DEPOSIT + 1)
        );
        _open(terms, RICHES - DEPOSIT + 1);
    }

    function test_intake_halt_stops_opening_and_topping_up() public {
        _trip(INTAKE, 1 hours);
        bytes memory refused = abi.encodeWithSelector(IHaltable.HaltableFlowHalted.selector, INTAKE, START + 1 hours);
        _expect(refused);
        _open(_terms(), 1);
        _expect(refused);
        channels.topUp(_terms(), 1);
    }

    function test_top_up_is_open_to_anybody() public {
        vm.expectEmit(address(channels));
        emit IChannels.ChannelToppedUp(id, stranger, 5 ether);
        vm.prank(stranger);
        channels.topUp(_terms(), 5 ether);
        _assertChannel(DEPOSIT + 5 ether, 0, 0, IChannels.ChannelStatus.OPEN);
        _expect(abi.encodeWithSelector(IChannels.ChannelsZeroAmount.selector));
        channels.topUp(_terms(), 0);
    }

    function test_top_up_refuses_unknown_closing_and_closed() public {
        IChannels.ChannelTerms memory unknown = _terms();
        unknown.salt = 2;
        _expect(abi.encodeWithSelector(IChannels.ChannelsUnknown.selector, channels.channelIdOf(unknown)));
        channels.topUp(unknown, 1);
        vm.prank(payer);
        channels.startClose(_terms());
        _expect(abi.encodeWithSelector(IChannels.ChannelsClosing.selector, START + 24 hours));
        channels.topUp(_terms(), 1);
        vm.prank(payee);
        channels.close(_terms());
        _expect(abi.encodeWithSelector(IChannels.ChannelsAlreadyClosed.selector, id));
        channels.topUp(_terms(), 1);
    }

    // ── settle ───────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_settle_by_the_payee_pays_all_but_the_fee() public {
        vm.expectEmit(address(channels));
        emit IChannels.VoucherSettled(
            id, payee, payee, 10 ether, 10 ether, uint64(10 ether), keccak256(abi.encode(uint96(10 ether)))
        );
        _settleAs(payee, _terms(), 10 ether);
        assertEq(vault.freeOf(payee), 9.8 ether);
        assertEq(vault.pile(), 0.2 ether);
        assertEq(vault.heldBy(address(channels)), DEPOSIT - 10 ether);
        _assertChannel(DEPOSIT, 10 ether, 0, IChannels.ChannelStatus.OPEN);
    }

    function test_settle_pays_royalties_to_records() public {
        IChannels.ChannelTerms memory terms = _terms();
        terms.records = new bytes32[](1);
        terms.records[0] = _register("model", 1000);
        _open(terms, DEPOSIT);
        _settleAs(payee, terms, 10 ether);
        assertEq(royalties.accruedFor(terms.records[0]), 1 ether);
        assertEq(vault.heldBy(address(royalties)), 1 ether);
        assertEq(vault.freeOf(payee), 8.8 ether);
    }

    function test_settle_by_another_pays_the_settler_its_fee_or_a_twentieth() public {
        uint96 before = vault.freeOf(stranger);
        _settleAs(stranger, _terms(), 10 ether);
        assertEq(vault.freeOf(stranger), before + 0.5 ether);
        assertEq(vault.freeOf(payee), 9.3 ether);
        _settleAs(stranger, _terms(), 60 ether);
        assertEq(vault.freeOf(stranger), before + 1.5 ether);
    }

    /// The crumbs attack: less than twenty wei earn a settler nothing.
    function test_settle_of_crumbs_earns_the_settler_nothing() public {
        uint96 before = vault.freeOf(stranger);
        for (uint96 cumulative = 19; cumulative <= 190; cumulative += 19) {
            _settleAs(stranger, _terms(), cumulative);
        }
        assertEq(vault.freeOf(stranger), before);
        assertEq(vault.freeOf(payee), 190);
    }

    function test_settle_refuses_another_signer() public {
        IChannels.Voucher memory voucher = _voucher(1 ether);
        bytes memory signature = _signVoucher(STRANGER_KEY, id, voucher);
        _expect(abi.encodeWithSelector(IChannels.ChannelsSignatureInvalid.selector, signer, stranger));
        channels.settle(_terms(), voucher, signature);
        // A signature that is none recovers nobody, which must not match a signer of zero.
        IChannels.ChannelTerms memory terms = _terms();
        terms.signer = address(0);
        _open(terms, 1 ether);
        _expect(abi.encodeWithSelector(IChannels.ChannelsSignatureInvalid.selector, address(0), address(0)));
        channels.settle(terms, voucher, new bytes(65));
    }

    function test_settle_refuses_a_voucher_of_another_channel_or_chain() public {
        IChannels.ChannelTerms memory terms = _terms();
        terms.salt = 2;
        bytes32 other = _open(terms, 1 ether);
        IChannels.Settlement memory s = _settlement(_terms(), 1 ether);
        _refuseWrongSigner(terms, s, other);
        vm.chainId(99);
        _expect(abi.encodeWithSelector(IChannels.ChannelsUnknown.selector, channels.channelIdOf(_terms())));
        channels.settle(s.terms, s.voucher, s.signature);
    }

    function _refuseWrongSigner(IChannels.ChannelTerms memory terms, IChannels.Settlement memory s, bytes32 other)
        private
    {
        IChannels.Settlement[] memory batch = new IChannels.Settlement[](1);
        batch[0] = IChannels.Settlement(terms, s.voucher, s.signature);
        vm.expectEmit(address(channels));
        emit IChannels.VoucherSkipped(other, IChannels.ChannelsSignatureInvalid.selector);
        channels.settleMany(batch);
    }

    function test_settle_refuses_unknown_and_closed() public {
        IChannels.ChannelTerms memory unknown = _terms();
        unknown.salt = 2;
        IChannels.Settlement memory s = _settlement(unknown, 1);
        _expect(abi.encodeWithSelector(IChannels.ChannelsUnknown.selector, channels.channelIdOf(unknown)));
        channels.settle(s.terms, s.voucher, s.signature);
        vm.prank(payee);
        channels.close(_terms());
        s = _settlement(_terms(), 1);
        _expect(abi.encodeWithSelector(IChannels.ChannelsAlreadyClosed.selector, id));
        channels.settle(s.terms, s.voucher, s.signature);
    }

    // ── CHANNEL-1, CHANNEL-2 ─────────────────────────────────────────────────────────────────────────────────────────

    function test_settle_above_the_deposit_pays_what_is_there_and_stays_good() public {
        _settleAs(payee, _terms(), 150 ether);
        _assertChannel(DEPOSIT, DEPOSIT, 0, IChannels.ChannelStatus.OPEN);
        assertEq(vault.freeOf(payee), 98 ether);
        vm.prank(stranger);
        channels.topUp(_terms(), 80 ether);
        _settleAs(payee, _terms(), 150 ether);
        _assertChannel(180 ether, 150 ether, 0, IChannels.ChannelStatus.OPEN);
        assertEq(vault.freeOf(payee), 147 ether);
    }

    function test_replay_and_older_vouchers_change_nothing_but_are_shown() public {
        _settleAs(payee, _terms(), 10 ether);
        uint96[3] memory repeated = [uint96(10 ether), 9 ether, 0];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(channels));
            emit IChannels.VoucherSettled(
                id, payee, stranger, repeated[i], 0, uint64(repeated[i]), keccak256(abi.encode(repeated[i]))
            );
            _settleAs(stranger, _terms(), repeated[i]);
            _assertChannel(DEPOSIT, 10 ether, 0, IChannels.ChannelStatus.OPEN);
        }
        assertEq(vault.freeOf(payee), 9.8 ether);
    }

    function testFuzz_batch_ends_where_single_calls_end(uint96[4] memory cumulatives, bool byPayee) public {
        IChannels.Settlement[] memory batch = new IChannels.Settlement[](4);
        for (uint256 i = 0; i < 4; ++i) {
            batch[i] = _settlement(_terms(), uint96(_within(cumulatives[i], 0, 2 * DEPOSIT)));
        }
        address settler = byPayee ? payee : stranger;
        uint256 snapshot = vm.snapshotState();
        vm.prank(settler);
        channels.settleMany(batch);
        bytes32 afterBatch = _state(settler);
        vm.revertToState(snapshot);
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(settler);
            channels.settle(batch[i].terms, batch[i].voucher, batch[i].signature);
        }
        assertEq(_state(settler), afterBatch);
        assertLe(channels.channelOf(id).settled, DEPOSIT);
    }

    function _state(address settler) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                channels.channelOf(id),
                vault.freeOf(payee),
                vault.freeOf(settler),
                vault.pile(),
                vault.heldBy(address(channels))
            )
        );
    }

    function test_batch_passes_over_a_bad_voucher_with_its_reason() public {
        IChannels.ChannelTerms memory unknown = _terms();
        unknown.salt = 2;
        IChannels.ChannelTerms memory closed = _terms();
        closed.salt = 3;
        _open(closed, 1 ether);
        vm.prank(payee);
        channels.close(closed);
        IChannels.Settlement[] memory batch = new IChannels.Settlement[](4);
        batch[0] = _settlement(unknown, 1 ether);
        batch[1] = _settlement(closed, 1 ether);
        batch[2] = _settlement(_terms(), 1 ether);
        batch[2].signature = batch[0].signature;
        batch[3] = _settlement(_terms(), 2 ether);
        vm.expectEmit(address(channels));
        emit IChannels.VoucherSkipped(channels.channelIdOf(unknown), IChannels.ChannelsUnknown.selector);
        vm.expectEmit(address(channels));
        emit IChannels.VoucherSkipped(channels.channelIdOf(closed), IChannels.ChannelsAlreadyClosed.selector);
        vm.expectEmit(address(channels));
        emit IChannels.VoucherSkipped(id, IChannels.ChannelsSignatureInvalid.selector);
        vm.prank(payee);
        channels.settleMany(batch);
        assertEq(vault.freeOf(payee), 1.96 ether);
    }

    // ── closing, CHANNEL-3 and CHANNEL-4 ─────────────────────────────────────────────────────────────────────────────

    function test_payer_closes_after_the_delay_and_gets_the_rest() public {
        vm.expectEmit(address(channels));
        emit IChannels.ChannelCloseStarted(id, START + 24 hours);
        vm.prank(payer);
        channels.startClose(_terms());
        _expect(abi.encodeWithSelector(IChannels.ChannelsClosing.selector, START + 24 hours));
        vm.prank(payer);
        channels.startClose(_terms());
        vm.warp(START + 24 hours - 1);
        _expect(abi.encodeWithSelector(IChannels.ChannelsStillOpen.selector, START + 24 hours));
        channels.withdraw(_terms());
        _settleAs(payee, _terms(), 10 ether);
        vm.warp(START + 24 hours);
        vm.expectEmit(address(channels));
        emit IChannels.ChannelClosed(id, 90 ether);
        channels.withdraw(_terms());
        assertEq(vault.freeOf(payer), RICHES - 10 ether);
        assertEq(vault.heldBy(address(channels)), 0);
        _expect(abi.encodeWithSelector(IChannels.ChannelsAlreadyClosed.selector, id));
        channels.withdraw(_terms());
    }

    function test_withdraw_refuses_while_nobody_closes() public {
        vm.warp(START + 365 days);
        _expect(abi.encodeWithSelector(IChannels.ChannelsStillOpen.selector, uint40(0)));
        channels.withdraw(_terms());
    }

    function test_payee_closes_at_once_and_the_rest_returns() public {
        _settleAs(payee, _terms(), 40 ether);
        _expect(abi.encodeWithSelector(IChannels.ChannelsNotPayee.selector, payer));
        vm.prank(payer);
        channels.close(_terms());
        vm.prank(payee);
        channels.close(_terms());
        assertEq(vault.freeOf(payer), RICHES - 40 ether);
        _assertChannel(DEPOSIT, 40 ether, 0, IChannels.ChannelStatus.CLOSED);
    }

    function test_start_close_refuses_who_is_not_the_payer_and_unknown_channels() public {
        _expect(abi.encodeWithSelector(IChannels.ChannelsNotPayer.selector, payee));
        vm.prank(payee);
        channels.startClose(_terms());
        IChannels.ChannelTerms memory unknown = _terms();
        unknown.salt = 2;
        bytes32 unknownId = channels.channelIdOf(unknown);
        _expect(abi.encodeWithSelector(IChannels.ChannelsUnknown.selector, unknownId));
        vm.prank(payer);
        channels.startClose(unknown);
    }

    /// A halt of PAYOUT stops the delay, so it never eats the payee's time; settling goes on.
    function test_delay_stands_still_while_payout_is_halted_and_vouchers_settle() public {
        vm.prank(payer);
        channels.startClose(_terms());
        vm.warp(START + 23 hours);
        _trip(PAYOUT, 12 hours);
        vm.warp(START + 24 hours);
        _expect(abi.encodeWithSelector(IChannels.ChannelsStillOpen.selector, START + 24 hours));
        channels.withdraw(_terms());
        _settleAs(stranger, _terms(), 10 ether);
        assertEq(vault.freeOf(payee), 9.3 ether);
        vm.warp(START + 36 hours - 1);
        _expect(abi.encodeWithSelector(IChannels.ChannelsStillOpen.selector, START + 24 hours));
        channels.withdraw(_terms());
        vm.warp(START + 36 hours);
        channels.withdraw(_terms());
        assertEq(vault.freeOf(payer), RICHES - 10 ether);
    }

    /// Begun in a halt, the delay is its full length and no more, however long the clock stood before.
    function test_delay_begins_on_the_active_clock() public {
        _trip(PAYOUT, 12 hours);
        vm.warp(START + 6 hours);
        vm.expectEmit(address(channels));
        emit IChannels.ChannelCloseStarted(id, START + 24 hours);
        vm.prank(payer);
        channels.startClose(_terms());
        vm.warp(START + 36 hours - 1);
        _expect(abi.encodeWithSelector(IChannels.ChannelsStillOpen.selector, START + 24 hours));
        channels.withdraw(_terms());
        vm.warp(START + 36 hours);
        channels.withdraw(_terms());
        assertEq(vault.freeOf(payer), RICHES);
    }

    /// TOKEN-6: with PAYOUT halted only vouchers on channels funded before move anything to somebody else.
    function test_payout_halt_leaves_vouchers_as_the_only_way_between_accounts() public {
        _trip(PAYOUT, 1 days);
        uint40 until = START + 1 days;
        bytes memory intake = abi.encodeWithSelector(IHaltable.HaltableFlowHalted.selector, INTAKE, until);
        IChannels.ChannelTerms memory fresh = _terms();
        fresh.salt = 2;
        _expect(intake);
        _open(fresh, 1);
        _expect(intake);
        vm.prank(payer);
        channels.topUp(_terms(), 1);
        _expect(abi.encodeWithSelector(IVault.VaultRedirectedWhileHalted.selector, stranger));
        vm.prank(payer);
        vault.withdraw(1, stranger);
        _settleAs(payee, _terms(), 1 ether);
        assertEq(vault.freeOf(payee), 0.98 ether);
    }

    /// CHANNEL-3 for any cumulative sum and any halt: one voucher landed before the end always pays.
    function testFuzz_voucher_landed_in_the_delay_always_pays(uint96 cumulative, uint40 wait, uint40 halt) public {
        cumulative = uint96(_within(cumulative, 1, DEPOSIT));
        vm.prank(payer);
        channels.startClose(_terms());
        vm.warp(START + _within(wait, 0, 24 hours - 1));
        _trip(PAYOUT, uint40(_within(halt, 0, 60 days)));
        vm.warp(vm.getBlockTimestamp() + _within(halt, 0, 60 days));
        _settleAs(payee, _terms(), cumulative);
        assertEq(vault.freeOf(payee), cumulative - uint256(cumulative) * FEE_BPS / 10_000);
        vm.warp(START + 100 days);
        channels.withdraw(_terms());
        assertEq(vault.freeOf(payer), RICHES - cumulative);
    }
}
