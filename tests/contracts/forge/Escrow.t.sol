// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IArbiter} from "../../../contracts/market/IArbiter.sol";
import {IEscrow} from "../../../contracts/market/IEscrow.sol";
import {ReenteringWallet} from "../../../contracts/mocks/ReenteringWallet.sol";
import {ScriptedArbiter} from "../../../contracts/mocks/ScriptedArbiter.sol";
import {IAttestationHub} from "../../../contracts/oracle/IAttestationHub.sol";
import {IOracleRegistry} from "../../../contracts/oracle/IOracleRegistry.sol";
import {Tiers, VerdictClasses} from "../../../contracts/oracle/Tiers.sol";
import {JobWorld} from "./JobWorld.sol";

abstract contract EscrowWorld is JobWorld {
    bytes32 internal constant REASON = keccak256("reason");
    bytes32 internal jobId;
    bytes32 internal record;

    function _ready(address arbiter) internal {
        _deploy(arbiter);
        _register(STAKE);
        record = _registerRecord(1000);
        jobId = _open(_terms(), BUDGET);
    }

    function _task(uint8 tier) internal view returns (IEscrow.Assignment memory a) {
        a = _assignment(jobId, tier);
        a.records = new bytes32[](1);
        a.records[0] = record;
    }

    function _assigned(uint8 tier) internal returns (IEscrow.Assignment memory a) {
        a = _task(tier);
        _assign(a);
    }

    function _delivered(uint8 tier) internal returns (IEscrow.Assignment memory a) {
        a = _assigned(tier);
        _deliver(a);
    }

    function _assertJob(uint256 free, uint256 reserved, uint256 openTasks) internal view {
        (uint96 gotFree, uint96 gotReserved,, uint16 gotTasks,) = escrow.jobOf(jobId);
        assertEq(gotFree, free);
        assertEq(gotReserved, reserved);
        assertEq(gotTasks, openTasks);
        assertEq(vault.heldBy(address(escrow)), free + reserved);
    }

    function _assertTask(IEscrow.Assignment memory a, IEscrow.TaskStatus expected) internal view {
        (,, IEscrow.TaskStatus status,,) = escrow.taskOf(escrow.taskIdOf(a));
        assertEq(uint256(status), uint256(expected));
    }

    /// Fee 2 %, royalty 10 % of the price, the rest to the payee.
    function _assertPaid(uint256 price) internal view {
        uint256 fee = (price * 200) / 10_000;
        uint256 royalty = (price * 1000) / 10_000;
        assertEq(vault.freeOf(payee), price - fee - royalty);
        assertEq(vault.heldBy(address(royalties)), royalty);
        assertEq(vault.pile(), fee);
        assertEq(royalties.accruedFor(record), royalty);
    }

    function _notOpen(IEscrow.Assignment memory a, IEscrow.TaskStatus status) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IEscrow.EscrowTaskNotOpen.selector, escrow.taskIdOf(a), status);
    }
}

contract EscrowTest is EscrowWorld {
    function setUp() public {
        _ready(address(0));
    }

    // ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_open_locks_the_budget_under_the_hash_of_the_terms() public view {
        IEscrow.JobTerms memory t = _terms();
        bytes32 expected = keccak256(
            abi.encode(block.chainid, address(escrow), t.buyer, t.steward, t.question, uint256(t.openFor), t.salt)
        );
        assertEq(jobId, expected);
        assertEq(escrow.jobIdOf(t), expected);
        (,, uint40 openUntil,, IEscrow.JobStatus status) = escrow.jobOf(jobId);
        assertEq(openUntil, block.timestamp + t.openFor);
        assertEq(uint256(status), uint256(IEscrow.JobStatus.OPEN));
        _assertJob(BUDGET, 0, 0);
    }

    function test_open_reverts_for_anybody_but_the_buyer() public {
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotBuyer.selector, steward));
        vm.prank(steward);
        escrow.open(_terms(), BUDGET);
    }

    function test_open_reverts_when_known_even_after_closing() public {
        bytes memory refusal = abi.encodeWithSelector(IEscrow.EscrowJobKnown.selector, jobId);
        vm.startPrank(buyer);
        _expect(refusal);
        escrow.open(_terms(), BUDGET);
        escrow.close(_terms());
        _expect(refusal);
        escrow.open(_terms(), BUDGET);
        vm.stopPrank();
    }

    function test_open_reverts_for_nothing_and_for_too_long() public {
        IEscrow.JobTerms memory t = _terms();
        t.salt = 2;
        vm.startPrank(buyer);
        _expect(abi.encodeWithSelector(IEscrow.EscrowZeroAmount.selector));
        escrow.open(t, 0);
        t.openFor = OPEN_MAX + 1;
        _expect(abi.encodeWithSelector(IEscrow.EscrowOpenTooLong.selector, OPEN_MAX + 1, OPEN_MAX));
        escrow.open(t, BUDGET);
        t.openFor = OPEN_MAX;
        escrow.open(t, 1 ether);
        vm.stopPrank();
    }

    function test_topUp_adds_anybodys_money() public {
        _fund(stranger, 5 ether);
        vm.prank(stranger);
        escrow.topUp(_terms(), 5 ether);
        _assertJob(BUDGET + 5 ether, 0, 0);
    }

    function test_topUp_reverts_for_nothing_and_for_a_job_that_is_not_open() public {
        _expect(abi.encodeWithSelector(IEscrow.EscrowZeroAmount.selector));
        escrow.topUp(_terms(), 0);
        IEscrow.JobTerms memory t = _terms();
        t.salt = 9;
        _expect(abi.encodeWithSelector(IEscrow.EscrowJobNotOpen.selector, escrow.jobIdOf(t), IEscrow.JobStatus.NONE));
        escrow.topUp(t, 1);
        vm.prank(buyer);
        escrow.close(_terms());
        _expect(abi.encodeWithSelector(IEscrow.EscrowJobNotOpen.selector, jobId, IEscrow.JobStatus.CLOSED));
        escrow.topUp(_terms(), 1);
    }

    function test_intake_halts_opening_topping_up_and_assigning() public {
        uint40 until = _halt(INTAKE, 1 hours);
        bytes memory refusal = _halted(INTAKE, until);
        IEscrow.Assignment[] memory none = new IEscrow.Assignment[](0);
        vm.startPrank(buyer);
        _expect(refusal);
        escrow.open(_terms(), BUDGET);
        _expect(refusal);
        escrow.topUp(_terms(), 1);
        _expect(refusal);
        escrow.assign(_terms(), none, new bytes[](0));
        vm.stopPrank();
        _expect(refusal);
        escrow.assignFor(buyer, _terms(), _task(Tiers.TRUSTED));
    }

    // ── assigning ────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_assign_reserves_prices_for_several_tasks() public {
        IEscrow.Assignment[] memory list = new IEscrow.Assignment[](2);
        bytes[] memory signatures = new bytes[](2);
        list[0] = _task(Tiers.TRUSTED);
        list[1] = _task(Tiers.PROVED);
        list[1].salt = 99;
        signatures[0] = _signAssignment(SIGNER_KEY, list[0]);
        // The operator's own key is as good as its signer's.
        signatures[1] = _signAssignment(OPERATOR_KEY, list[1]);
        vm.prank(buyer);
        escrow.assign(_terms(), list, signatures);
        _assertJob(BUDGET - 2 * PRICE, 2 * PRICE, 2);
        bytes32 taskId = escrow.taskIdOf(list[1]);
        assertEq(taskId, _assignmentHash(list[1]));
        (uint96 price, uint40 deliverBy, IEscrow.TaskStatus status, uint8 tier, uint16 startedBps) =
            escrow.taskOf(taskId);
        assertEq(price, PRICE);
        assertEq(deliverBy, block.timestamp + list[1].deliverWithin);
        assertEq(uint256(status), uint256(IEscrow.TaskStatus.ASSIGNED));
        assertEq(tier, Tiers.PROVED);
        assertEq(startedBps, list[1].startedBps);
    }

    function test_assign_reverts_for_anybody_but_buyer_and_steward() public {
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotSteward.selector, stranger));
        vm.prank(stranger);
        escrow.assign(_terms(), new IEscrow.Assignment[](0), new bytes[](0));
    }

    function test_assign_reverts_for_a_missing_signature() public {
        IEscrow.Assignment[] memory list = new IEscrow.Assignment[](1);
        list[0] = _task(Tiers.TRUSTED);
        _expect(abi.encodeWithSelector(IEscrow.EscrowSignatureCount.selector, uint256(0), uint256(1)));
        vm.prank(steward);
        escrow.assign(_terms(), list, new bytes[](0));
    }

    function test_assign_reverts_for_a_job_that_is_not_open() public {
        vm.startPrank(buyer);
        escrow.close(_terms());
        _expect(abi.encodeWithSelector(IEscrow.EscrowJobNotOpen.selector, jobId, IEscrow.JobStatus.CLOSED));
        escrow.assign(_terms(), new IEscrow.Assignment[](0), new bytes[](0));
        vm.stopPrank();
    }

    function test_assign_reverts_from_the_second_the_job_expires() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        uint40 openUntil = uint40(block.timestamp) + _terms().openFor;
        a.quoteUntil = openUntil;
        vm.warp(openUntil);
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowJobExpired.selector, openUntil));
        vm.warp(openUntil - 1);
        _assign(a);
    }

    function test_assign_reverts_for_the_task_of_another_job() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.jobId = keccak256("other");
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowWrongJob.selector, a.jobId));
    }

    function test_assign_reverts_one_second_after_the_quote() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        vm.warp(a.quoteUntil + 1);
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowQuoteExpired.selector, a.quoteUntil));
        vm.warp(a.quoteUntil);
        _assign(a);
    }

    /// ESCROW-5: never more than the budget.
    function test_assign_reverts_one_wei_above_the_budget() public {
        IEscrow.Assignment memory a = _task(Tiers.PROVED);
        a.price = BUDGET + 1;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowBudgetTooLow.selector, BUDGET, BUDGET + 1));
        a.price = BUDGET;
        _assign(a);
        _assertJob(0, BUDGET, 1);
    }

    function test_assign_reverts_for_the_same_task_again() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.quoteUntil += 1 days;
        _assign(a);
        bytes memory refusal = abi.encodeWithSelector(IEscrow.EscrowTaskKnown.selector, escrow.taskIdOf(a));
        _expectAssign(a, refusal);
        vm.warp(block.timestamp + a.deliverWithin + 1);
        escrow.refund(_terms(), a);
        _expectAssign(a, refusal);
    }

    function test_assign_reverts_without_the_operators_signature() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        bytes memory refusal = abi.encodeWithSelector(IEscrow.EscrowSignatureInvalid.selector, operator);
        bytes memory signature = _signAssignment(STRANGER_KEY, a);
        _expectAssign(a, signature, refusal);
        signature = _signAssignment(SIGNER_KEY, a);
        a.price -= 1;
        _expectAssign(a, signature, refusal);
        a.operator = stranger;
        signature = _signAssignment(STRANGER_KEY, a);
        _expectAssign(a, signature, abi.encodeWithSelector(IEscrow.EscrowSignatureInvalid.selector, stranger));
    }

    function test_assign_reverts_for_unfair_terms() public {
        IEscrow.Assignment memory a = _task(3);
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowTierUnknown.selector, uint8(3)));
        a = _task(Tiers.TRUSTED);
        a.verdictClass = 3;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowClassUnknown.selector, uint8(3)));
        a = _task(Tiers.TRUSTED);
        a.startedBps = STARTED_MAX_BPS + 1;
        _expectAssign(
            a, abi.encodeWithSelector(IEscrow.EscrowStartedShareTooHigh.selector, STARTED_MAX_BPS + 1, STARTED_MAX_BPS)
        );
        a.startedBps = STARTED_MAX_BPS;
        a.deliverWithin = DELIVERY_MIN - 1;
        _expectAssign(
            a, abi.encodeWithSelector(IEscrow.EscrowDeliveryTooShort.selector, DELIVERY_MIN - 1, DELIVERY_MIN)
        );
        a.deliverWithin = DELIVERY_MAX + 1;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowDeliveryTooLong.selector, DELIVERY_MAX + 1, DELIVERY_MAX));
        a.deliverWithin = DELIVERY_MAX;
        a.window = WINDOW_MIN - 1;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowWindowTooShort.selector, WINDOW_MIN - 1, WINDOW_MIN));
        a.window = WINDOW_MAX + 1;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowWindowTooLong.selector, WINDOW_MAX + 1, WINDOW_MAX));
        a.window = WINDOW_MAX;
        _assign(a);
    }

    function test_assign_wants_a_long_window_from_a_price_on() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.window = LONG_WINDOW - 1;
        a.price = LONG_WINDOW_FROM;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowWindowTooShort.selector, LONG_WINDOW - 1, LONG_WINDOW));
        a.price = LONG_WINDOW_FROM - 1;
        _assign(a);
    }

    function test_assign_wants_the_price_at_risk_and_never_less_than_the_floor() public {
        IEscrow.Assignment memory a = _task(Tiers.STAKED);
        a.atRisk = AT_RISK_FLOOR - 1;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowAtRiskTooLow.selector, AT_RISK_FLOOR - 1, AT_RISK_FLOOR));
        a.price = AT_RISK_FLOOR + 1;
        a.window = LONG_WINDOW;
        a.atRisk = AT_RISK_FLOOR;
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowAtRiskTooLow.selector, AT_RISK_FLOOR, AT_RISK_FLOOR + 1));
        a.atRisk = AT_RISK_FLOOR + 1;
        _assign(a);
    }

    function test_assign_reverts_for_a_staked_task_without_a_judge() public {
        IEscrow.Assignment memory a = _task(Tiers.STAKED);
        a.circuitId = keccak256("no circuit");
        _expectAssign(a, abi.encodeWithSelector(IAttestationHub.AttestationHubNoJudge.selector));
    }

    function test_assign_reverts_for_a_payee_that_could_not_take_its_pay() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.payee = address(0);
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowPayeeInvalid.selector, address(0)));
        a.payee = address(registry);
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowPayeeInvalid.selector, address(registry)));
    }

    function test_assign_reverts_for_records_that_are_unknown_or_halted() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.records[0] = keccak256("nothing");
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowRecordUnknown.selector, a.records[0]));
        a.records[0] = record;
        uint40 until = uint40(block.timestamp) + 1 minutes;
        provenance.setModelHalt(record, until);
        _expectAssign(a, abi.encodeWithSelector(IEscrow.EscrowModelHalted.selector, record, until));
        a.quoteUntil = until;
        vm.warp(until);
        _assign(a);
    }

    function test_assignFor_takes_the_markets_word_for_the_operator() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        escrow.assignFor(steward, _terms(), a);
        _assertTask(a, IEscrow.TaskStatus.ASSIGNED);
        a.salt = 5;
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotSteward.selector, stranger));
        escrow.assignFor(stranger, _terms(), a);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotMarket.selector, buyer));
        vm.prank(buyer);
        escrow.assignFor(buyer, _terms(), a);
    }

    // ── delivering ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// ESCROW-3: fee, royalty and net are the price.
    function test_deliver_pays_a_proved_task_in_the_same_call() public {
        IEscrow.Assignment memory a = _delivered(Tiers.PROVED);
        _assertTask(a, IEscrow.TaskStatus.PAID);
        _assertPaid(PRICE);
        _assertJob(BUDGET - PRICE, 0, 0);
        _expect(_notOpen(a, IEscrow.TaskStatus.PAID));
        escrow.release(_terms(), a, _resultOf(a));
    }

    function test_deliver_keeps_a_proved_task_for_release_while_payout_is_halted() public {
        IEscrow.Assignment memory a = _assigned(Tiers.PROVED);
        uint40 until = _halt(PAYOUT, 1 hours);
        _deliver(a);
        _assertTask(a, IEscrow.TaskStatus.DELIVERED);
        IEscrow.Result memory result = _resultOf(a);
        _expect(_halted(PAYOUT, until));
        escrow.release(_terms(), a, result);
        vm.warp(until);
        escrow.release(_terms(), a, result);
        _assertTask(a, IEscrow.TaskStatus.PAID);
        _assertPaid(PRICE);
    }

    function test_deliver_reverts_for_a_proof_of_other_words() public {
        IEscrow.Assignment memory a = _assigned(Tiers.PROVED);
        bytes memory signature = _signResult(a);
        IEscrow.Result memory result = _resultOf(a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubProofRejected.selector, publicCircuit));
        escrow.deliver(_terms(), a, result, signature, _proofOf());
        _assertTask(a, IEscrow.TaskStatus.ASSIGNED);
    }

    function test_deliver_reverts_one_second_late_and_refund_one_second_early() public {
        IEscrow.Assignment memory a = _assigned(Tiers.TRUSTED);
        uint40 deliverBy = uint40(block.timestamp) + a.deliverWithin;
        bytes memory signature = _signResult(a);
        IEscrow.Result memory result = _resultOf(a);
        vm.warp(deliverBy + 1);
        _expect(abi.encodeWithSelector(IEscrow.EscrowDeliveredLate.selector, deliverBy + 1, deliverBy));
        escrow.deliver(_terms(), a, result, signature, _noProof());
        vm.warp(deliverBy);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotLate.selector, deliverBy, deliverBy));
        escrow.refund(_terms(), a);
        escrow.deliver(_terms(), a, result, signature, _noProof());
        _assertTask(a, IEscrow.TaskStatus.DELIVERED);
    }

    function test_deliver_has_longer_by_a_halt() public {
        IEscrow.Assignment memory a = _assigned(Tiers.TRUSTED);
        uint40 deliverBy = uint40(block.timestamp) + a.deliverWithin;
        uint40 until = _halt(PAYOUT, 2 hours);
        bytes memory signature = _signResult(a);
        IEscrow.Result memory result = _resultOf(a);
        vm.warp(until);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotLate.selector, deliverBy - a.deliverWithin, deliverBy));
        escrow.refund(_terms(), a);
        vm.warp(deliverBy + 2 hours);
        escrow.deliver(_terms(), a, result, signature, _noProof());
    }

    function test_deliver_reverts_for_a_task_that_is_not_assigned() public {
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        _expect(_notOpen(a, IEscrow.TaskStatus.NONE));
        escrow.deliver(_terms(), a, _resultOf(a), "", _noProof());
        a.jobId = keccak256("other");
        _expect(abi.encodeWithSelector(IEscrow.EscrowWrongJob.selector, a.jobId));
        escrow.deliver(_terms(), a, _resultOf(a), "", _noProof());
    }

    // ── releasing ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// ESCROW-4: silence ends a trusted task, and anybody may say so.
    function test_release_pays_a_trusted_task_by_silence() public {
        IEscrow.Assignment memory a = _delivered(Tiers.TRUSTED);
        IEscrow.Result memory result = _resultOf(a);
        uint40 finalAt = uint40(block.timestamp) + a.window;
        vm.warp(finalAt - 1);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubStillOpen.selector, finalAt));
        escrow.release(_terms(), a, result);
        vm.warp(finalAt);
        vm.prank(stranger);
        escrow.release(_terms(), a, result);
        _assertPaid(PRICE);
        _assertTask(a, IEscrow.TaskStatus.PAID);
    }

    function test_release_pays_although_somebody_concluded_at_the_hub_before() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        vm.warp(block.timestamp + a.window);
        IEscrow.Result memory result = _resultOf(a);
        hub.conclude(_attestationOf(a, result));
        escrow.release(_terms(), a, result);
        _assertPaid(PRICE);
    }

    function test_release_reverts_for_another_result() public {
        IEscrow.Assignment memory a = _delivered(Tiers.TRUSTED);
        IEscrow.Result memory result = _resultOf(a);
        vm.warp(block.timestamp + a.window);
        result.result = keccak256("other");
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubUnknown.selector, escrow.taskIdOf(a), operator));
        escrow.release(_terms(), a, result);
    }

    function test_release_refunds_a_faulted_task_even_while_payout_is_halted() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        IEscrow.Result memory result = _resultOf(a);
        IAttestationHub.Attestation memory first = _attestationOf(a, result);
        IAttestationHub.Attestation memory second = _attestationOf(a, result);
        second.result = keccak256("other");
        hub.proveEquivocation(first, _signAttestation(SIGNER_KEY, first), second, _signAttestation(SIGNER_KEY, second));
        _halt(PAYOUT, 1 hours);
        escrow.release(_terms(), a, result);
        _assertTask(a, IEscrow.TaskStatus.REFUNDED);
        _assertJob(BUDGET, 0, 0);
        assertEq(vault.freeOf(payee), 0);
    }

    // ── other ends ───────────────────────────────────────────────────────────────────────────────────────────────────

    function test_refund_returns_the_price_in_every_halt() public {
        IEscrow.Assignment memory a = _assigned(Tiers.PROVED);
        vm.warp(block.timestamp + a.deliverWithin + 1);
        _halt(PAYOUT, 1 hours);
        vm.prank(stranger);
        escrow.refund(_terms(), a);
        _assertTask(a, IEscrow.TaskStatus.REFUNDED);
        _assertJob(BUDGET, 0, 0);
        _expect(_notOpen(a, IEscrow.TaskStatus.REFUNDED));
        escrow.refund(_terms(), a);
        vm.prank(buyer);
        escrow.close(_terms());
    }

    function test_decline_refunds_at_once_by_anybody_with_the_signature() public {
        IEscrow.Assignment memory a = _assigned(Tiers.PROVED);
        bytes memory signature = _signDecline(SIGNER_KEY, a, 2);
        _expect(abi.encodeWithSelector(IEscrow.EscrowSignatureInvalid.selector, operator));
        escrow.decline(_terms(), a, 3, signature);
        vm.prank(stranger);
        escrow.decline(_terms(), a, 2, signature);
        _assertTask(a, IEscrow.TaskStatus.REFUNDED);
        _assertJob(BUDGET, 0, 0);
    }

    function test_decline_takes_the_operators_own_signature() public {
        IEscrow.Assignment memory a = _assigned(Tiers.PROVED);
        escrow.decline(_terms(), a, 0, _signDecline(OPERATOR_KEY, a, 0));
        _assertTask(a, IEscrow.TaskStatus.REFUNDED);
    }

    function test_reject_pays_for_the_start_only() public {
        IEscrow.Assignment memory a = _delivered(Tiers.TRUSTED);
        vm.prank(steward);
        escrow.reject(_terms(), a, REASON);
        _assertTask(a, IEscrow.TaskStatus.SPLIT);
        uint96 started = (PRICE * a.startedBps) / 10_000;
        _assertPaid(started);
        _assertJob(BUDGET - started, 0, 0);
    }

    function test_reject_waits_for_payout_when_something_is_paid() public {
        IEscrow.Assignment memory a = _delivered(Tiers.TRUSTED);
        uint40 until = _halt(PAYOUT, 1 hours);
        _expect(_halted(PAYOUT, until));
        vm.prank(buyer);
        escrow.reject(_terms(), a, REASON);
        // The window stands still meanwhile.
        vm.warp(until + a.window - 1);
        vm.prank(buyer);
        escrow.reject(_terms(), a, REASON);
    }

    function test_reject_reverts_from_the_end_of_the_window_on() public {
        IEscrow.Assignment memory a = _delivered(Tiers.TRUSTED);
        uint40 finalAt = uint40(block.timestamp) + a.window;
        vm.warp(finalAt);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotRejectable.selector, Tiers.TRUSTED, finalAt));
        vm.prank(buyer);
        escrow.reject(_terms(), a, REASON);
    }

    function test_reject_reverts_for_what_is_not_trusted_and_for_strangers() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        uint40 finalAt = uint40(block.timestamp) + a.window;
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotRejectable.selector, Tiers.STAKED, finalAt));
        vm.prank(buyer);
        escrow.reject(_terms(), a, REASON);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotSteward.selector, stranger));
        vm.prank(stranger);
        escrow.reject(_terms(), a, REASON);
    }

    function test_challenge_reverts_without_an_arbiter() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        _expect(abi.encodeWithSelector(IEscrow.EscrowArbiterAbsent.selector));
        vm.prank(buyer);
        escrow.challenge(_terms(), a, _resultOf(a), REASON);
    }

    function test_agree_splits_as_both_signed(uint96 toPayee) public {
        toPayee = uint96(_within(toPayee, 0, PRICE));
        IEscrow.Assignment memory a = _assigned(Tiers.TRUSTED);
        uint40 validUntil = uint40(block.timestamp);
        escrow.agree(
            _terms(),
            a,
            toPayee,
            validUntil,
            _signAgreement(STEWARD_KEY, a, toPayee, validUntil),
            _signAgreement(SIGNER_KEY, a, toPayee, validUntil)
        );
        _assertTask(a, IEscrow.TaskStatus.SPLIT);
        _assertPaid(toPayee);
        _assertJob(BUDGET - toPayee, 0, 0);
    }

    function test_agree_works_after_delivery_and_once() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        uint40 validUntil = uint40(block.timestamp) + 1;
        bytes memory bySide = _signAgreement(BUYER_KEY, a, 1 ether, validUntil);
        bytes memory byOperator = _signAgreement(OPERATOR_KEY, a, 1 ether, validUntil);
        escrow.agree(_terms(), a, 1 ether, validUntil, bySide, byOperator);
        _assertTask(a, IEscrow.TaskStatus.SPLIT);
        _expect(_notOpen(a, IEscrow.TaskStatus.SPLIT));
        escrow.agree(_terms(), a, 1 ether, validUntil, bySide, byOperator);
    }

    function test_agree_reverts_late_above_the_price_and_without_both() public {
        IEscrow.Assignment memory a = _assigned(Tiers.TRUSTED);
        uint40 validUntil = uint40(block.timestamp) - 1;
        _expect(abi.encodeWithSelector(IEscrow.EscrowAgreementExpired.selector, validUntil));
        escrow.agree(_terms(), a, 0, validUntil, "", "");
        validUntil += 1;
        _expect(abi.encodeWithSelector(IEscrow.EscrowShareAbovePrice.selector, PRICE + 1, PRICE));
        escrow.agree(_terms(), a, PRICE + 1, validUntil, "", "");
        bytes memory bySide = _signAgreement(BUYER_KEY, a, 1, validUntil);
        bytes memory byOperator = _signAgreement(SIGNER_KEY, a, 1, validUntil);
        _expect(abi.encodeWithSelector(IEscrow.EscrowSignatureInvalid.selector, buyer));
        escrow.agree(_terms(), a, 1, validUntil, byOperator, byOperator);
        _expect(abi.encodeWithSelector(IEscrow.EscrowSignatureInvalid.selector, operator));
        escrow.agree(_terms(), a, 1, validUntil, bySide, bySide);
        IEscrow.JobTerms memory other = _terms();
        other.salt = 9;
        _expect(abi.encodeWithSelector(IEscrow.EscrowWrongJob.selector, jobId));
        escrow.agree(other, a, 1, validUntil, bySide, byOperator);
    }

    // ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_close_returns_what_is_free_to_the_buyer() public {
        uint256 before = vault.freeOf(buyer);
        vm.prank(steward);
        escrow.close(_terms());
        assertEq(vault.freeOf(buyer), before + BUDGET);
        _assertJob(0, 0, 0);
    }

    function test_close_reverts_while_tasks_are_open() public {
        _assigned(Tiers.TRUSTED);
        _expect(abi.encodeWithSelector(IEscrow.EscrowTasksOpen.selector, uint16(1)));
        vm.prank(buyer);
        escrow.close(_terms());
    }

    function test_close_is_open_to_anybody_from_the_end_on() public {
        uint40 openUntil = uint40(block.timestamp) + _terms().openFor;
        vm.warp(openUntil - 1);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotExpired.selector, openUntil));
        vm.prank(stranger);
        escrow.close(_terms());
        vm.warp(openUntil);
        vm.prank(stranger);
        escrow.close(_terms());
        assertEq(vault.freeOf(stranger), 0);
    }

    // ── contract wallets ─────────────────────────────────────────────────────────────────────────────────────────────

    /// A wallet that calls back while its signature is checked gets nothing but its answer: it is asked statically.
    function test_assign_holds_against_a_wallet_that_calls_back() public {
        ReenteringWallet wallet = new ReenteringWallet();
        _fund(address(wallet), 1000 ether);
        wallet.act(address(registry), abi.encodeCall(IOracleRegistry.register, (address(0xC0DE), 0, 1 ether)));
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.operator = address(wallet);
        wallet.arm(address(registry), abi.encodeCall(IOracleRegistry.addStake, (1 ether)));
        _assign(a, "");
        (uint96 stake,,,) = registry.coverOf(address(wallet));
        assertEq(stake, 1 ether);
        _assertJob(BUDGET - PRICE, PRICE, 1);
        // A second decline inside the first one.
        wallet.arm(address(escrow), abi.encodeCall(IEscrow.decline, (_terms(), a, 0, "")));
        escrow.decline(_terms(), a, 0, "");
        _assertJob(BUDGET, 0, 0);
    }

    function test_agree_holds_against_a_buyer_that_calls_back() public {
        ReenteringWallet wallet = new ReenteringWallet();
        _fund(address(wallet), BUDGET);
        IEscrow.JobTerms memory t = _terms();
        t.buyer = address(wallet);
        wallet.act(address(escrow), abi.encodeCall(IEscrow.open, (t, BUDGET)));
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        a.jobId = escrow.jobIdOf(t);
        IEscrow.Assignment[] memory list = new IEscrow.Assignment[](1);
        bytes[] memory signatures = new bytes[](1);
        list[0] = a;
        signatures[0] = _signAssignment(SIGNER_KEY, a);
        wallet.act(address(escrow), abi.encodeCall(IEscrow.assign, (t, list, signatures)));
        uint40 validUntil = uint40(block.timestamp);
        bytes memory byOperator = _signAgreement(SIGNER_KEY, a, 10 ether, validUntil);
        bytes memory call = abi.encodeCall(IEscrow.agree, (t, a, 10 ether, validUntil, "", byOperator));
        wallet.arm(address(escrow), call);
        escrow.agree(t, a, 10 ether, validUntil, "", byOperator);
        _assertPaid(10 ether);
        (uint96 free, uint96 reserved,,,) = escrow.jobOf(a.jobId);
        assertEq(free, BUDGET - 10 ether);
        assertEq(reserved, 0);
    }

    /// Attestations need a plain key: what a contract says today it could deny tomorrow.
    function test_deliver_reverts_for_a_contract_wallet_as_signer() public {
        ReenteringWallet wallet = new ReenteringWallet();
        vm.prank(operator);
        registry.setSigner(address(wallet));
        IEscrow.Assignment memory a = _task(Tiers.TRUSTED);
        _assign(a, "");
        IEscrow.Result memory result = _resultOf(a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, address(0)));
        escrow.deliver(_terms(), a, result, "", _noProof());
    }

    // ── fixtures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _expectAssign(IEscrow.Assignment memory a, bytes memory refusal) private {
        _expectAssign(a, _signAssignment(SIGNER_KEY, a), refusal);
    }

    function _expectAssign(IEscrow.Assignment memory a, bytes memory signature, bytes memory refusal) private {
        IEscrow.Assignment[] memory list = new IEscrow.Assignment[](1);
        bytes[] memory signatures = new bytes[](1);
        list[0] = a;
        signatures[0] = signature;
        _expect(refusal);
        vm.prank(steward);
        escrow.assign(_terms(), list, signatures);
    }
}

/// @notice With an Arbiter: what a ruling does to a price.
contract EscrowDisputeTest is EscrowWorld {
    ScriptedArbiter internal court;

    function setUp() public {
        court = new ScriptedArbiter();
        _ready(address(court));
    }

    function test_release_follows_the_ruling() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        IEscrow.Result memory result = _resultOf(a);
        vm.prank(buyer);
        escrow.challenge(_terms(), a, result, REASON);
        bytes32 id = court.lastOpened();
        assertEq(court.evidenceOf(id), REASON);
        uint256 snapshot = vm.snapshotState();

        court.rule(id, IArbiter.Outcome.CLAIMANT, 0);
        escrow.release(_terms(), a, result);
        _assertTask(a, IEscrow.TaskStatus.REFUNDED);
        _assertJob(BUDGET, 0, 0);

        vm.revertToState(snapshot);
        court.rule(id, IArbiter.Outcome.RESPONDENT, 0);
        escrow.release(_terms(), a, result);
        _assertTask(a, IEscrow.TaskStatus.PAID);
        _assertPaid(PRICE);

        vm.revertToState(snapshot);
        court.rule(id, IArbiter.Outcome.UNDECIDED, 0);
        escrow.release(_terms(), a, result);
        _assertTask(a, IEscrow.TaskStatus.SPLIT);
        _assertPaid((PRICE * a.startedBps) / 10_000);

        vm.revertToState(snapshot);
        court.rule(id, IArbiter.Outcome.SETTLED, 2500);
        escrow.release(_terms(), a, result);
        _assertTask(a, IEscrow.TaskStatus.SPLIT);
        _assertPaid((PRICE * 3) / 4);
    }

    function test_challenge_is_for_buyer_and_steward() public {
        IEscrow.Assignment memory a = _delivered(Tiers.STAKED);
        _expect(abi.encodeWithSelector(IEscrow.EscrowNotSteward.selector, stranger));
        vm.prank(stranger);
        escrow.challenge(_terms(), a, _resultOf(a), REASON);
    }
}
