// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleRegistry} from "../../../contracts/oracle/IOracleRegistry.sol";
import {SlashCauses} from "../../../contracts/oracle/SlashCauses.sol";
import {JobWorld} from "./JobWorld.sol";

contract OracleRegistryTest is JobWorld {
    bytes32 internal constant PROFILE = keccak256("profile");
    address internal newSigner = address(0x51612);

    function setUp() public {
        _deploy(address(0));
        _register(STAKE);
    }

    // ── registering ──────────────────────────────────────────────────────────────────────────────────────────────────

    function test_register_takes_the_stake_and_binds_the_signer() public view {
        (uint96 stake, uint96 locked, uint96 leaving,) = registry.coverOf(operator);
        assertEq(stake, STAKE);
        assertEq(locked, 0);
        assertEq(leaving, 0);
        assertEq(registry.signerOf(operator), signer);
        assertEq(registry.operatorOf(signer), operator);
        assertEq(registry.totalStake(), STAKE);
        assertEq(registry.seatsOf(operator), 2);
        assertEq(registry.sinceOf(operator), block.timestamp);
        assertEq(registry.profileOf(operator), PROFILE_OF_OPERATOR);
        assertEq(vault.heldBy(address(registry)), STAKE);
        assertTrue(!registry.isBarred(operator));
    }

    function test_register_takes_no_stake_from_an_examiner() public {
        vm.prank(stranger);
        registry.register(newSigner, PROFILE, 0);
        assertEq(registry.signerOf(stranger), newSigner);
        assertEq(registry.seatsOf(stranger), 0);
    }

    function test_register_reverts_when_registered() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryAlreadyRegistered.selector, operator));
        vm.prank(operator);
        registry.register(newSigner, PROFILE, 0);
    }

    function test_register_reverts_when_the_signer_is_taken() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistrySignerTaken.selector, signer));
        vm.prank(stranger);
        registry.register(signer, PROFILE, 0);
    }

    function test_register_reverts_without_a_signer() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryZeroSigner.selector));
        vm.prank(stranger);
        registry.register(address(0), PROFILE, 0);
    }

    function test_register_reverts_while_intake_is_halted() public {
        uint40 until = _halt(INTAKE, 1 hours);
        _expect(_halted(INTAKE, until));
        vm.prank(stranger);
        registry.register(newSigner, PROFILE, 0);
    }

    function test_register_reverts_when_barred() public {
        _bar();
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryOperatorBarred.selector, operator));
        vm.prank(operator);
        registry.register(newSigner, PROFILE, 0);
    }

    // ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_addStake_starts_the_age_again() public {
        vm.warp(block.timestamp + 5 days);
        vm.prank(operator);
        registry.addStake(1 ether);
        (uint96 stake,,,) = registry.coverOf(operator);
        assertEq(stake, STAKE + 1 ether);
        assertEq(registry.sinceOf(operator), block.timestamp);
        assertEq(registry.totalStake(), STAKE + 1 ether);
    }

    function test_addStake_reverts_for_a_stranger() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.addStake(1 ether);
    }

    function test_addStake_reverts_while_intake_is_halted() public {
        uint40 until = _halt(INTAKE, 1 hours);
        _expect(_halted(INTAKE, until));
        vm.prank(operator);
        registry.addStake(1 ether);
    }

    function test_setSigner_keeps_the_old_key_within() public {
        vm.startPrank(operator);
        registry.setSigner(newSigner);
        assertEq(registry.signerOf(operator), newSigner);
        assertEq(registry.operatorOf(signer), operator);
        registry.setSigner(signer);
        vm.stopPrank();
        assertEq(registry.signerOf(operator), signer);
    }

    function test_setSigner_reverts_for_the_key_of_another() public {
        vm.prank(stranger);
        registry.register(newSigner, PROFILE, 0);
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistrySignerTaken.selector, newSigner));
        vm.prank(operator);
        registry.setSigner(newSigner);
    }

    function test_setProfile_replaces_it() public {
        vm.prank(operator);
        registry.setProfile(PROFILE);
        assertEq(registry.profileOf(operator), PROFILE);
    }

    function test_setProfile_reverts_when_barred() public {
        _bar();
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryOperatorBarred.selector, operator));
        vm.prank(operator);
        registry.setProfile(PROFILE);
    }

    // ── leaving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_completeExit_pays_when_ready_and_not_one_second_earlier() public {
        vm.prank(operator);
        registry.requestExit(STAKE);
        uint40 readyAt = uint40(block.timestamp) + EXIT_DELAY;
        vm.warp(readyAt - 1);
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryExitNotReady.selector, readyAt));
        registry.completeExit(operator);
        vm.warp(readyAt);
        uint256 before = vault.freeOf(operator);
        registry.completeExit(operator);
        assertEq(vault.freeOf(operator), before + STAKE);
        assertEq(vault.heldBy(address(registry)), 0);
        assertEq(registry.totalStake(), 0);
    }

    /// ORACLE-4: matured stake leaves in every halt state; the clock of what has not matured stands still.
    function test_completeExit_pays_matured_stake_while_everything_is_halted() public {
        vm.prank(operator);
        registry.requestExit(STAKE);
        vm.warp(block.timestamp + EXIT_DELAY);
        _halt(INTAKE, 1 hours);
        _halt(PAYOUT, 1 hours);
        _halt(ADMIN, 1 hours);
        registry.completeExit(operator);
        assertEq(vault.heldBy(address(registry)), 0);
    }

    function test_completeExit_waits_longer_by_a_halt() public {
        vm.prank(operator);
        registry.requestExit(STAKE);
        uint40 readyAt = uint40(block.timestamp) + EXIT_DELAY;
        _halt(PAYOUT, 1 hours);
        vm.warp(readyAt + 1 hours - 1);
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryExitNotReady.selector, readyAt));
        registry.completeExit(operator);
        vm.warp(readyAt + 1 hours);
        registry.completeExit(operator);
    }

    function test_completeExit_reverts_when_nothing_leaves() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNothingLeaving.selector, operator));
        registry.completeExit(operator);
    }

    function test_requestExit_reverts_for_nothing() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNothingLeaving.selector, operator));
        vm.prank(operator);
        registry.requestExit(0);
    }

    function test_requestExit_reverts_while_one_waits() public {
        vm.startPrank(operator);
        registry.requestExit(1 ether);
        uint40 readyAt = uint40(block.timestamp) + EXIT_DELAY;
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryExitPending.selector, readyAt));
        registry.requestExit(1 ether);
        vm.stopPrank();
    }

    function test_requestExit_reverts_one_wei_above_what_is_free() public {
        vm.prank(address(hub));
        registry.cover(operator, signer, 500 ether);
        uint96 free = STAKE - 500 ether;
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryStakeCovered.selector, free, free + 1));
        vm.prank(operator);
        registry.requestExit(free + 1);
        vm.prank(operator);
        registry.requestExit(free);
    }

    function test_requestExit_reverts_for_a_stranger() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.requestExit(1);
    }

    // ── covering ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// ORACLE-1: never more is locked than there is.
    function test_cover_reverts_one_wei_above_what_is_free() public {
        vm.startPrank(address(hub));
        registry.cover(operator, signer, STAKE - 1);
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryCoverTooLow.selector, uint96(1), uint96(2)));
        registry.cover(operator, signer, 2);
        registry.cover(operator, signer, 1);
        registry.uncover(operator, STAKE);
        vm.stopPrank();
        (, uint96 locked,,) = registry.coverOf(operator);
        assertEq(locked, 0);
    }

    function test_cover_reverts_for_a_key_that_is_not_current() public {
        vm.prank(operator);
        registry.setSigner(newSigner);
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistrySignerNotCurrent.selector, signer));
        vm.prank(address(hub));
        registry.cover(operator, signer, 1);
    }

    function test_cover_and_uncover_revert_for_anybody_but_the_hub() public {
        bytes memory refusal = abi.encodeWithSelector(IOracleRegistry.OracleRegistryNotHub.selector, stranger);
        vm.startPrank(stranger);
        _expect(refusal);
        registry.cover(operator, signer, 1);
        _expect(refusal);
        registry.uncover(operator, 1);
        vm.stopPrank();
    }

    // ── slashing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_slash_burns_half_rounded_up() public {
        uint256 pile = vault.pile();
        vm.prank(address(hub));
        registry.slash(operator, 101, reporter, SlashCauses.CONTRADICTION);
        assertEq(vault.pile() - pile, 51);
        assertEq(vault.freeOf(reporter), 50);
        assertEq(registry.totalStake(), STAKE - 101);
    }

    /// ORACLE-2: leaving does not dodge a slash, and no slash takes more than stake and leaving.
    function test_slash_reaches_what_is_leaving_and_takes_no_more_than_there_is(uint96 leaving, uint96 amount) public {
        leaving = uint96(_within(leaving, 1, STAKE));
        amount = uint96(_within(amount, 1, 2 * STAKE));
        vm.prank(operator);
        registry.requestExit(leaving);
        vm.prank(address(hub));
        registry.slash(operator, amount, reporter, SlashCauses.DISPUTE);
        (uint96 stakeLeft,, uint96 leavingLeft,) = registry.coverOf(operator);
        uint256 taken = amount < STAKE ? amount : STAKE;
        assertEq(uint256(stakeLeft) + leavingLeft, STAKE - taken);
        assertEq(vault.heldBy(address(registry)), STAKE - taken);
        // The stake goes first.
        uint256 staked = STAKE - leaving;
        assertEq(stakeLeft, taken < staked ? staked - taken : 0);
        assertEq(registry.totalStake(), stakeLeft);
    }

    function test_slash_keeps_what_is_locked_within_the_stake() public {
        vm.startPrank(address(hub));
        registry.cover(operator, signer, STAKE);
        registry.slash(operator, 1 ether, reporter, SlashCauses.DISPUTE);
        (uint96 stake, uint96 locked,,) = registry.coverOf(operator);
        assertEq(locked, stake);
        registry.uncover(operator, STAKE);
        (, locked,,) = registry.coverOf(operator);
        assertEq(locked, 0);
        vm.stopPrank();
    }

    function test_slash_for_equivocation_bars_for_good() public {
        _bar();
        assertTrue(registry.isBarred(operator));
        assertEq(registry.signerOf(operator), address(0));
        assertEq(registry.seatsOf(operator), 0);
        bytes memory refusal = abi.encodeWithSelector(IOracleRegistry.OracleRegistryOperatorBarred.selector, operator);
        _expect(refusal);
        vm.prank(operator);
        registry.setSigner(newSigner);
        _expect(refusal);
        vm.prank(address(hub));
        registry.cover(operator, signer, 0);
        // It may still leave.
        vm.prank(operator);
        registry.requestExit(1 ether);
    }

    function test_slash_works_during_a_halt() public {
        _halt(PAYOUT, 1 hours);
        vm.prank(address(hub));
        registry.slash(operator, 2 ether, reporter, SlashCauses.DISPUTE);
        assertEq(vault.freeOf(reporter), 1 ether);
    }

    function test_slash_of_nothing_moves_nothing() public {
        vm.prank(stranger);
        registry.register(newSigner, PROFILE, 0);
        vm.prank(address(hub));
        registry.slash(stranger, 1 ether, reporter, SlashCauses.DISPUTE);
        assertEq(vault.freeOf(reporter), 0);
    }

    function test_slash_reverts_for_anybody_but_hub_and_arbiter() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNotSlasher.selector, stranger));
        vm.prank(stranger);
        registry.slash(operator, 1, stranger, SlashCauses.DISPUTE);
        // Where no Arbiter is deployed its place stays empty.
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNotSlasher.selector, address(this)));
        registry.slash(operator, 1, stranger, SlashCauses.DISPUTE);
    }

    function test_slash_reverts_for_an_unknown_operator() public {
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryNotRegistered.selector, stranger));
        vm.prank(address(hub));
        registry.slash(stranger, 1, reporter, SlashCauses.DISPUTE);
    }

    // ── fixtures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _bar() private {
        vm.prank(address(hub));
        registry.slash(operator, 2 ether, reporter, SlashCauses.EQUIVOCATION);
    }
}
