// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ScriptedArbiter} from "../../../contracts/mocks/ScriptedArbiter.sol";
import {IArbiter} from "../../../contracts/market/IArbiter.sol";
import {IAttestationHub} from "../../../contracts/oracle/IAttestationHub.sol";
import {IOracleRegistry} from "../../../contracts/oracle/IOracleRegistry.sol";
import {IVerifierRouter} from "../../../contracts/oracle/IVerifierRouter.sol";
import {Tiers, VerdictClasses} from "../../../contracts/oracle/Tiers.sol";
import {JobWorld} from "./JobWorld.sol";

abstract contract AttestationWorld is JobWorld {
    bytes32 internal constant EVIDENCE = keccak256("evidence");

    uint256[] internal inputs;
    uint256[] internal outputs;
    uint256[] internal otherOutputs;

    function _ready(address arbiter) internal {
        _deploy(arbiter);
        _register(STAKE);
        inputs = [uint256(7), FIELD - 3];
        outputs = [uint256(1000)];
        otherOutputs = [uint256(1001)];
    }

    /// A result as the Escrow would build it.
    function _result(uint8 tier) internal view returns (IAttestationHub.Attestation memory a) {
        a.taskId = keccak256("task");
        a.request = keccak256("request");
        a.modelId = keccak256("model");
        a.circuitId = publicCircuit;
        a.inputHash = keccak256(abi.encodePacked(inputs));
        a.outputHash = keccak256(abi.encodePacked(outputs));
        a.result = keccak256("result");
        a.tier = tier;
        a.verdictClass = VerdictClasses.EXACT;
        a.operator = operator;
        a.atRisk = tier == Tiers.STAKED ? AT_RISK_FLOOR : 0;
        a.window = tier == Tiers.PROVED ? 0 : WINDOW_MIN;
        a.signedAt = uint40(block.timestamp);
    }

    function _hashedResult() internal view returns (IAttestationHub.Attestation memory a) {
        a = _result(Tiers.PROVED);
        a.circuitId = hashedCircuit;
        a.inputHash = bytes32(uint256(123_456_789));
    }

    function _attest(IAttestationHub.Attestation memory a) internal {
        _attest(a, _signAttestation(SIGNER_KEY, a), _noProof());
    }

    function _attest(IAttestationHub.Attestation memory a, bytes memory signature, IAttestationHub.Proof memory proof)
        internal
    {
        vm.prank(address(escrow));
        hub.attest(a, signature, proof);
    }

    /// The words that the verifier of the public circuit must be shown.
    function _publicWords(IAttestationHub.Attestation memory a, address prover, uint256[] memory out)
        internal
        view
        returns (uint256[] memory)
    {
        bytes32 context = _contextOf(block.chainid, address(hub), a.request, a.circuitId, prover);
        return _wordsOf(inputs, context, out);
    }

    function _hashedWords(IAttestationHub.Attestation memory a, uint256 h)
        internal
        view
        returns (uint256[] memory words)
    {
        words = new uint256[](2 + 1 + 11);
        words[0] = uint256(a.inputHash);
        words[1] = h;
        words[2] = outputs[0];
        bytes32 context = _contextOf(block.chainid, address(hub), a.request, a.circuitId, operator);
        for (uint256 i = 0; i < 11; ++i) {
            words[3 + i] = (uint256(context) / (2 ** (24 * i))) % (2 ** 24);
        }
    }

    function _proof(uint256[] memory input, uint256[] memory output)
        internal
        pure
        returns (IAttestationHub.Proof memory)
    {
        return IAttestationHub.Proof("proof", input, output);
    }

    function _lockedOf(address account) internal view returns (uint96 locked) {
        (, locked,,) = registry.coverOf(account);
    }

    function _stakeOf(address account) internal view returns (uint96 stake) {
        (stake,,,) = registry.coverOf(account);
    }

    function _assertStatus(IAttestationHub.Attestation memory a, IAttestationHub.Status expected) internal view {
        (IAttestationHub.Status status,,) = hub.statusOf(a.taskId, a.operator);
        assertEq(uint256(status), uint256(expected));
    }
}

/// @notice The first slice: no Arbiter. Results, proofs, machine faults.
contract AttestationHubTest is AttestationWorld {
    function setUp() public {
        _ready(address(0));
    }

    // ── proved ───────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_attest_finalises_a_proved_result_of_a_public_circuit() public {
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        verifier.accept(_publicWords(a, operator, outputs));
        _attest(a, _signAttestation(SIGNER_KEY, a), _proof(inputs, outputs));
        _assertStatus(a, IAttestationHub.Status.FINAL);
        (IAttestationHub.Status verdict, uint16 shareBps) = hub.conclude(a);
        assertEq(uint256(verdict), uint256(IAttestationHub.Status.FINAL));
        assertEq(shareBps, 10_000);
    }

    function test_attest_finalises_a_proved_result_of_a_hashed_circuit() public {
        IAttestationHub.Attestation memory a = _hashedResult();
        uint256[] memory h = new uint256[](1);
        h[0] = 42;
        verifier.accept(_hashedWords(a, 42));
        _attest(a, _signAttestation(SIGNER_KEY, a), _proof(h, outputs));
        _assertStatus(a, IAttestationHub.Status.FINAL);
    }

    /// ORACLE-6: a proof counts for one chain, hub, request, circuit and prover.
    function test_attest_rejects_a_proof_of_any_other_context(uint256 which) public {
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        bytes32 other = keccak256("other");
        bytes32[5] memory contexts = [
            _contextOf(block.chainid + 1, address(hub), a.request, a.circuitId, operator),
            _contextOf(block.chainid, address(escrow), a.request, a.circuitId, operator),
            _contextOf(block.chainid, address(hub), other, a.circuitId, operator),
            _contextOf(block.chainid, address(hub), a.request, other, operator),
            _contextOf(block.chainid, address(hub), a.request, a.circuitId, stranger)
        ];
        uint256[] memory words = _publicWords(a, operator, outputs);
        for (uint256 i = 0; i < 11; ++i) {
            words[2 + i] = (uint256(contexts[which % 5]) >> (24 * i)) & 0xffffff;
        }
        verifier.accept(words);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubProofRejected.selector, publicCircuit));
        _attest(a, signature, _proof(inputs, outputs));
    }

    /// ORACLE-6: changing any instance word fails.
    function test_attest_rejects_a_proof_of_any_other_word(uint256 which) public {
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        uint256[] memory words = _publicWords(a, operator, outputs);
        words[which % 14] += 1;
        verifier.accept(words);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubProofRejected.selector, publicCircuit));
        _attest(a, signature, _proof(inputs, outputs));
    }

    function test_attest_reverts_when_the_input_is_another() public {
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        inputs[0] = 8;
        bytes32 given = keccak256(abi.encodePacked(inputs));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubInputMismatch.selector, a.inputHash, given));
        _attest(a, signature, _proof(inputs, outputs));
    }

    function test_attest_reverts_when_the_output_is_another() public {
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        bytes32 given = keccak256(abi.encodePacked(otherOutputs));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubOutputMismatch.selector, a.outputHash, given));
        _attest(a, signature, _proof(inputs, otherOutputs));
    }

    function test_attest_reverts_at_the_order_of_the_field() public {
        inputs[1] = FIELD;
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubWordOutOfField.selector, uint256(1), FIELD));
        _attest(a, signature, _proof(inputs, outputs));
        inputs[1] = FIELD - 1;
        a = _result(Tiers.PROVED);
        verifier.accept(_publicWords(a, operator, outputs));
        _attest(a, _signAttestation(SIGNER_KEY, a), _proof(inputs, outputs));
    }

    function test_attest_reverts_for_a_hash_word_out_of_the_field() public {
        IAttestationHub.Attestation memory a = _hashedResult();
        a.inputHash = bytes32(FIELD + 1);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        uint256[] memory h = new uint256[](1);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubWordOutOfField.selector, uint256(0), FIELD + 1));
        _attest(a, signature, _proof(h, outputs));
    }

    /// A word must not slip from one side of the limbs to the other while the sum of the counts stays right.
    function test_attest_reverts_for_other_counts_with_the_same_sum() public {
        IAttestationHub.Attestation memory a = _hashedResult();
        a.outputHash = keccak256("");
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        uint256[] memory none = new uint256[](0);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubInputCount.selector, uint256(2), uint256(1)));
        _attest(a, signature, _proof(inputs, none));
        uint256[] memory h = new uint256[](1);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubOutputCount.selector, uint256(0), uint256(1)));
        _attest(a, signature, _proof(h, none));
    }

    function test_attest_reverts_before_the_circuit_is_enabled() public {
        IVerifierRouter.Circuit memory circuit =
            IVerifierRouter.Circuit(address(verifier), 2, 1, false, IVerifierRouter.Setup.SHARED);
        _fund(stranger, ANNOUNCE_BOND);
        vm.prank(stranger);
        bytes32 id = router.announce(circuit, keccak256("later"));
        IAttestationHub.Attestation memory a = _result(Tiers.PROVED);
        a.circuitId = id;
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        uint40 enabledFrom = uint40(block.timestamp) + NOTICE;
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNotEnabled.selector, id, enabledFrom));
        _attest(a, signature, _proof(inputs, outputs));
    }

    function test_limbs_rebuild_the_context(bytes32 request, bytes32 circuitId, address prover) public view {
        bytes32 context = hub.contextOf(request, circuitId, prover);
        assertEq(context, _contextOf(block.chainid, address(hub), request, circuitId, prover));
        uint256[11] memory limbs = hub.limbsOf(context);
        uint256 sum = 0;
        for (uint256 i = 11; i > 0; --i) {
            assertTrue(limbs[i - 1] < 2 ** 24);
            sum = (sum << 24) | limbs[i - 1];
        }
        assertEq(sum, uint256(context));
    }

    // ── staked and trusted ───────────────────────────────────────────────────────────────────────────────────────────

    /// ORACLE-7: a pending staked result is covered, until it is final.
    function test_conclude_frees_the_cover_of_a_staked_result_when_its_window_ends() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        _attest(a);
        assertEq(_lockedOf(operator), AT_RISK_FLOOR);
        uint40 finalAt = uint40(block.timestamp) + WINDOW_MIN;
        vm.warp(finalAt - 1);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubStillOpen.selector, finalAt));
        hub.conclude(a);
        vm.warp(finalAt);
        hub.conclude(a);
        _assertStatus(a, IAttestationHub.Status.FINAL);
        assertEq(_lockedOf(operator), 0);
        // Asked again it answers the same and frees nothing twice.
        (IAttestationHub.Status verdict,) = hub.conclude(a);
        assertEq(uint256(verdict), uint256(IAttestationHub.Status.FINAL));
    }

    function test_conclude_waits_longer_by_a_halt() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        _attest(a);
        uint40 finalAt = uint40(block.timestamp) + WINDOW_MIN;
        _halt(PAYOUT, 30 minutes);
        vm.warp(finalAt + 30 minutes - 1);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubStillOpen.selector, finalAt));
        hub.conclude(a);
        vm.warp(finalAt + 30 minutes);
        hub.conclude(a);
    }

    function test_attest_reverts_when_stake_does_not_cover_it() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        a.atRisk = STAKE + 1;
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(abi.encodeWithSelector(IOracleRegistry.OracleRegistryCoverTooLow.selector, STAKE, STAKE + 1));
        _attest(a, signature, _noProof());
    }

    function test_attest_reverts_without_a_judge() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        a.circuitId = keccak256("no circuit");
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        bytes memory refusal = abi.encodeWithSelector(IAttestationHub.AttestationHubNoJudge.selector);
        _expect(refusal);
        _attest(a, signature, _noProof());
        // A circuit contradicts exact results only.
        a = _result(Tiers.STAKED);
        a.verdictClass = VerdictClasses.FUZZY;
        signature = _signAttestation(SIGNER_KEY, a);
        _expect(refusal);
        _attest(a, signature, _noProof());
    }

    function test_attest_reverts_one_second_outside_the_windows() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        a.window = WINDOW_MIN - 1;
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(
            abi.encodeWithSelector(IAttestationHub.AttestationHubWindowTooShort.selector, WINDOW_MIN - 1, WINDOW_MIN)
        );
        _attest(a, signature, _noProof());
        a.window = WINDOW_MAX + 1;
        signature = _signAttestation(SIGNER_KEY, a);
        _expect(
            abi.encodeWithSelector(IAttestationHub.AttestationHubWindowTooLong.selector, WINDOW_MAX + 1, WINDOW_MAX)
        );
        _attest(a, signature, _noProof());
        a.window = WINDOW_MAX;
        _attest(a);
    }

    function test_attest_reverts_one_wei_under_the_floor() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        a.atRisk = AT_RISK_FLOOR - 1;
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(
            abi.encodeWithSelector(
                IAttestationHub.AttestationHubAtRiskTooLow.selector, AT_RISK_FLOOR - 1, AT_RISK_FLOOR
            )
        );
        _attest(a, signature, _noProof());
    }

    function test_attest_reverts_for_unknown_tiers_and_classes() public {
        IAttestationHub.Attestation memory a = _result(3);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubTierUnknown.selector, uint8(3)));
        _attest(a, "", _noProof());
        a = _result(Tiers.TRUSTED);
        a.verdictClass = 3;
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubClassUnknown.selector, uint8(3)));
        _attest(a, "", _noProof());
    }

    /// ORACLE-5: one result per task and operator.
    function test_attest_reverts_for_a_second_result() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        _attest(a);
        a.result = keccak256("second");
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubKnown.selector, a.taskId, operator));
        _attest(a, signature, _noProof());
    }

    function test_attest_reverts_for_any_key_but_the_present_signer() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        bytes memory signature = _signAttestation(OPERATOR_KEY, a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, operator));
        _attest(a, signature, _noProof());
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, address(0)));
        _attest(a, "", _noProof());
        vm.prank(operator);
        registry.setSigner(stranger);
        signature = _signAttestation(SIGNER_KEY, a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, signer));
        _attest(a, signature, _noProof());
    }

    function test_attest_reverts_for_a_signature_of_another_chain() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        vm.chainId(1337);
        address recovered = _recoverAttestation(a, signature);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, recovered));
        _attest(a, signature, _noProof());
    }

    function test_attest_and_challengeFor_revert_for_anybody_but_the_escrow() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        bytes memory refusal = abi.encodeWithSelector(IAttestationHub.AttestationHubNotEscrow.selector, stranger);
        vm.startPrank(stranger);
        _expect(refusal);
        hub.attest(a, "", _noProof());
        _expect(refusal);
        hub.challengeFor(stranger, a, EVIDENCE);
        vm.stopPrank();
    }

    function test_conclude_reverts_for_what_is_unknown() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        bytes memory refusal =
            abi.encodeWithSelector(IAttestationHub.AttestationHubUnknown.selector, a.taskId, operator);
        _expect(refusal);
        hub.conclude(a);
        _attest(a);
        a.outputHash = 0;
        _expect(refusal);
        hub.conclude(a);
    }

    function test_challenge_reverts_without_an_arbiter() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        _attest(a);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubArbiterAbsent.selector));
        hub.challenge(a, EVIDENCE);
    }

    // ── contradiction ────────────────────────────────────────────────────────────────────────────────────────────────

    function test_contradict_faults_and_slashes_by_a_proof_of_another_output() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        _attest(a);
        verifier.accept(_publicWords(a, reporter, otherOutputs));
        vm.prank(reporter);
        hub.contradict(a, _layerOf(a), inputs, otherOutputs, new bytes32[][](0), "proof");
        _assertStatus(a, IAttestationHub.Status.FAULTED);
        assertEq(_stakeOf(operator), STAKE - AT_RISK_FLOOR);
        assertEq(_lockedOf(operator), 0);
        assertEq(vault.freeOf(reporter), AT_RISK_FLOOR / 2);
        (IAttestationHub.Status verdict, uint16 shareBps) = hub.conclude(a);
        assertEq(uint256(verdict), uint256(IAttestationHub.Status.FAULTED));
        assertEq(shareBps, 0);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubAlreadyFaulted.selector, a.taskId));
        vm.prank(reporter);
        hub.contradict(a, _layerOf(a), inputs, otherOutputs, new bytes32[][](0), "proof");
    }

    /// A proof seen in the mempool names its reporter: nobody else can use it.
    function test_contradict_rejects_a_copied_proof() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        _attest(a);
        verifier.accept(_publicWords(a, reporter, otherOutputs));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubProofRejected.selector, publicCircuit));
        vm.prank(stranger);
        hub.contradict(a, _layerOf(a), inputs, otherOutputs, new bytes32[][](0), "proof");
    }

    /// ORACLE-9: the same output proves nothing, and neither does another input.
    function test_contradict_reverts_when_nothing_is_contradicted() public {
        IAttestationHub.Attestation memory a = _result(Tiers.STAKED);
        _attest(a);
        bytes memory refusal = abi.encodeWithSelector(IAttestationHub.AttestationHubNotContradicted.selector);
        bytes32[][] memory none = new bytes32[][](0);
        vm.startPrank(reporter);
        _expect(refusal);
        hub.contradict(a, _layerOf(a), inputs, outputs, none, "proof");
        IAttestationHub.Layer memory layer = _layerOf(a);
        layer.inputHash = keccak256("other");
        _expect(refusal);
        hub.contradict(a, layer, inputs, otherOutputs, none, "proof");
        layer = _layerOf(a);
        layer.index = 2;
        _expect(refusal);
        hub.contradict(a, layer, inputs, otherOutputs, none, "proof");
        vm.stopPrank();
        a = _result(Tiers.STAKED);
        inputs[0] = 9;
        bytes32 given = keccak256(abi.encodePacked(inputs));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubInputMismatch.selector, a.inputHash, given));
        hub.contradict(a, _layerOf(a), inputs, otherOutputs, none, "proof");
    }

    function test_contradict_reverts_for_what_is_not_staked_or_final() public {
        IAttestationHub.Attestation memory a = _result(Tiers.TRUSTED);
        _attest(a);
        uint40 finalAt = uint40(block.timestamp) + WINDOW_MIN;
        _expectNotChallengeable(IAttestationHub.Status.PENDING, finalAt);
        hub.contradict(a, _layerOf(a), inputs, otherOutputs, new bytes32[][](0), "proof");
        a = _result(Tiers.STAKED);
        a.taskId = keccak256("staked");
        _attest(a);
        vm.warp(finalAt);
        hub.conclude(a);
        _expectNotChallengeable(IAttestationHub.Status.FINAL, finalAt);
        hub.contradict(a, _layerOf(a), inputs, otherOutputs, new bytes32[][](0), "proof");
    }

    // ── equivocation ─────────────────────────────────────────────────────────────────────────────────────────────────

    function test_proveEquivocation_slashes_a_tenth_bars_and_faults_the_open_result() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.STAKED);
        _attest(a);
        vm.prank(reporter);
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        assertEq(_stakeOf(operator), STAKE - STAKE / 10);
        assertEq(_lockedOf(operator), 0);
        assertEq(vault.freeOf(reporter), STAKE / 20);
        assertTrue(registry.isBarred(operator));
        _assertStatus(a, IAttestationHub.Status.FAULTED);
    }

    function test_proveEquivocation_takes_the_larger_stake_at_risk() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.STAKED);
        b.atRisk = STAKE / 2;
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        assertEq(_stakeOf(operator), STAKE / 2);
    }

    function test_proveEquivocation_rounds_the_tenth_up() public {
        vm.prank(operator);
        registry.addStake(1);
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        assertEq(_stakeOf(operator), STAKE + 1 - (STAKE / 10 + 1));
    }

    /// ORACLE-8 and ORACLE-2: neither another key nor an exit that waits dodges it.
    function test_proveEquivocation_reaches_an_old_key_and_what_is_leaving() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        bytes memory signatureA = _signAttestation(SIGNER_KEY, a);
        vm.startPrank(operator);
        registry.setSigner(address(0x51612));
        registry.requestExit(STAKE);
        vm.stopPrank();
        hub.proveEquivocation(a, signatureA, b, _signAttestation(SIGNER_KEY, b));
        (,, uint96 leaving,) = registry.coverOf(operator);
        assertEq(leaving, STAKE - STAKE / 10);
    }

    function test_proveEquivocation_works_once_a_task_and_again_for_another() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        bytes memory signatureA = _signAttestation(SIGNER_KEY, a);
        bytes memory signatureB = _signAttestation(SIGNER_KEY, b);
        hub.proveEquivocation(a, signatureA, b, signatureB);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubAlreadyFaulted.selector, a.taskId));
        hub.proveEquivocation(b, signatureB, a, signatureA);
        a.taskId = keccak256("another task");
        b.taskId = a.taskId;
        uint96 before = _stakeOf(operator);
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        assertEq(_stakeOf(operator), before - before / 10);
    }

    function test_proveEquivocation_reverts_when_it_is_none() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        // The same answer signed twice, at two times.
        IAttestationHub.Attestation memory again = a;
        bytes memory signatureA = _signAttestation(SIGNER_KEY, a);
        _expectNoEquivocation(a, signatureA, again, signatureA);
        // Two tasks.
        b.taskId = keccak256("another task");
        _expectNoEquivocation(a, signatureA, b, _signAttestation(SIGNER_KEY, b));
        // Two operators.
        b.taskId = a.taskId;
        b.operator = stranger;
        _expectNoEquivocation(a, signatureA, b, _signAttestation(SIGNER_KEY, b));
        // A key that never signed for the operator.
        b.operator = operator;
        _expectNoEquivocation(a, signatureA, b, _signAttestation(STRANGER_KEY, b));
    }

    /// Two other answers must not be spent to save the open one.
    function test_proveEquivocation_reverts_unless_the_open_result_is_one_of_the_two() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        IAttestationHub.Attestation memory delivered = _result(Tiers.TRUSTED);
        delivered.result = keccak256("third");
        _attest(delivered);
        _expectNoEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), delivered, _signAttestation(SIGNER_KEY, delivered));
        _assertStatus(delivered, IAttestationHub.Status.FAULTED);
    }

    function test_proveEquivocation_leaves_a_final_result_final() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        _attest(a);
        vm.warp(block.timestamp + WINDOW_MIN);
        hub.conclude(a);
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        _assertStatus(a, IAttestationHub.Status.FINAL);
        assertTrue(registry.isBarred(operator));
    }

    function test_attest_reverts_for_a_barred_operator() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b) = _twoAnswers(Tiers.TRUSTED);
        bytes memory signatureA = _signAttestation(SIGNER_KEY, a);
        hub.proveEquivocation(a, signatureA, b, _signAttestation(SIGNER_KEY, b));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, signer));
        _attest(a, signatureA, _noProof());
    }

    // ── fixtures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _layerOf(IAttestationHub.Attestation memory a) private pure returns (IAttestationHub.Layer memory) {
        return IAttestationHub.Layer(1, a.circuitId, a.inputHash, a.outputHash);
    }

    function _twoAnswers(uint8 tier)
        private
        view
        returns (IAttestationHub.Attestation memory a, IAttestationHub.Attestation memory b)
    {
        a = _result(tier);
        b = _result(tier);
        b.outputHash = keccak256(abi.encodePacked(otherOutputs));
    }

    function _expectNotChallengeable(IAttestationHub.Status status, uint40 finalAt) private {
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubNotChallengeable.selector, status, finalAt));
    }

    function _expectNoEquivocation(
        IAttestationHub.Attestation memory a,
        bytes memory signatureA,
        IAttestationHub.Attestation memory b,
        bytes memory signatureB
    ) private {
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubNotEquivocation.selector));
        hub.proveEquivocation(a, signatureA, b, signatureB);
    }
}

/// @notice Many small results under one signature.
contract AttestationHubRootTest is AttestationWorld {
    uint96 internal constant COVER = 150 ether;
    bytes32 internal root;
    bytes32 internal rootKey;

    function setUp() public {
        _ready(address(0));
        root = _pair(_leafOf(_small(0)), _leafOf(_small(1)));
        rootKey = keccak256(abi.encode(root, operator));
    }

    // ── the root ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_attestRoot_covers_once_for_all_and_concludeRoot_frees_it() public {
        uint40 finalAt = _attestRoot();
        assertEq(_lockedOf(operator), COVER);
        vm.warp(finalAt - 1);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubStillOpen.selector, finalAt));
        hub.concludeRoot(rootKey);
        vm.warp(finalAt);
        hub.concludeRoot(rootKey);
        assertEq(_lockedOf(operator), 0);
        (address by, uint96 coverLeft,,, bool isConcluded) = hub.rootOf(rootKey);
        assertEq(by, operator);
        assertEq(coverLeft, 0);
        assertTrue(isConcluded);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubRootUnknown.selector, rootKey));
        hub.concludeRoot(rootKey);
    }

    function test_attestRoot_reverts_when_known_unsigned_or_out_of_bounds() public {
        bytes memory signature = _signRoot(COVER, WINDOW_MIN - 1);
        _expect(
            abi.encodeWithSelector(IAttestationHub.AttestationHubWindowTooShort.selector, WINDOW_MIN - 1, WINDOW_MIN)
        );
        hub.attestRoot(root, 2, COVER, WINDOW_MIN - 1, operator, 0, signature);
        signature = _signRoot(AT_RISK_FLOOR - 1, WINDOW_MIN);
        _expect(
            abi.encodeWithSelector(
                IAttestationHub.AttestationHubAtRiskTooLow.selector, AT_RISK_FLOOR - 1, AT_RISK_FLOOR
            )
        );
        hub.attestRoot(root, 2, AT_RISK_FLOOR - 1, WINDOW_MIN, operator, 0, signature);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubSignatureInvalid.selector, operator, address(0)));
        hub.attestRoot(root, 2, COVER, WINDOW_MIN, operator, 0, "");
        _attestRoot();
        signature = _signRoot(COVER, WINDOW_MIN);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubKnown.selector, root, operator));
        hub.attestRoot(root, 2, COVER, WINDOW_MIN, operator, 0, signature);
    }

    // ── its leaves ───────────────────────────────────────────────────────────────────────────────────────────────────

    function test_openLeaf_makes_a_result_that_ends_with_the_root() public {
        uint40 finalAt = _attestRoot();
        _openLeaf(0);
        vm.warp(finalAt);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubLeavesOpen.selector, uint16(1)));
        hub.concludeRoot(rootKey);
        (IAttestationHub.Status verdict,) = hub.conclude(_small(0));
        assertEq(uint256(verdict), uint256(IAttestationHub.Status.FINAL));
        assertEq(_lockedOf(operator), COVER);
        hub.concludeRoot(rootKey);
        assertEq(_lockedOf(operator), 0);
    }

    /// Each fault costs its own stake at risk, and all of them together no more than the root's cover.
    function test_contradict_takes_at_most_what_is_left_of_the_cover() public {
        uint40 finalAt = _attestRoot();
        _openLeaf(0);
        _openLeaf(1);
        _contradict(0);
        assertEq(_stakeOf(operator), STAKE - 100 ether);
        assertEq(_lockedOf(operator), COVER - 100 ether);
        _contradict(1);
        assertEq(_stakeOf(operator), STAKE - COVER);
        assertEq(_lockedOf(operator), 0);
        IAttestationHub.Status status = hub.leafStatusOf(rootKey, _small(1).taskId, operator);
        assertEq(uint256(status), uint256(IAttestationHub.Status.FAULTED));
        vm.warp(finalAt);
        hub.concludeRoot(rootKey);
    }

    function test_openLeaf_reverts_for_an_unknown_root_or_a_path_to_another() public {
        bytes32[] memory path = new bytes32[](1);
        path[0] = _leafOf(_small(1));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubRootUnknown.selector, rootKey));
        hub.openLeaf(rootKey, _small(0), path);
        _attestRoot();
        IAttestationHub.Attestation memory a = _small(2);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubPathInvalid.selector, _leafOf(a)));
        hub.openLeaf(rootKey, a, path);
        a = _small(0);
        a.tier = Tiers.TRUSTED;
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubTierUnknown.selector, Tiers.TRUSTED));
        hub.openLeaf(rootKey, a, path);
        a = _small(0);
        a.verdictClass = 3;
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubClassUnknown.selector, uint8(3)));
        hub.openLeaf(rootKey, a, path);
    }

    function test_openLeaf_reverts_from_the_end_of_the_root_on() public {
        uint40 finalAt = _attestRoot();
        bytes32[] memory path = new bytes32[](1);
        path[0] = _leafOf(_small(1));
        vm.warp(finalAt);
        _expect(
            abi.encodeWithSelector(
                IAttestationHub.AttestationHubNotChallengeable.selector, IAttestationHub.Status.PENDING, finalAt
            )
        );
        hub.openLeaf(rootKey, _small(0), path);
        vm.warp(finalAt - 1);
        hub.openLeaf(rootKey, _small(0), path);
    }

    /// The same words stand once: as a leaf or as a task's result, never as both.
    function test_openLeaf_and_attest_refuse_each_others_words() public {
        _attestRoot();
        _openLeaf(0);
        bytes32[] memory path = new bytes32[](1);
        path[0] = _leafOf(_small(1));
        IAttestationHub.Attestation memory a = _small(0);
        bytes memory refusal = abi.encodeWithSelector(IAttestationHub.AttestationHubKnown.selector, a.taskId, operator);
        _expect(refusal);
        hub.openLeaf(rootKey, a, path);
        bytes memory signature = _signAttestation(SIGNER_KEY, a);
        _expect(refusal);
        _attest(a, signature, _noProof());
        a = _small(1);
        _attest(a);
        path[0] = _leafOf(_small(0));
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubKnown.selector, a.taskId, operator));
        hub.openLeaf(rootKey, a, path);
    }

    /// A root cannot occupy a task: another result of the same task is taken in beside the leaf.
    function test_attest_takes_another_result_of_a_leafs_task() public {
        _attestRoot();
        _openLeaf(0);
        IAttestationHub.Attestation memory a = _small(0);
        a.result = keccak256("what the task wants");
        _attest(a);
        _assertStatus(a, IAttestationHub.Status.PENDING);
    }

    // ── fixtures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _small(uint256 i) private view returns (IAttestationHub.Attestation memory a) {
        a = _result(Tiers.STAKED);
        a.taskId = keccak256(abi.encode("small", i));
        a.request = keccak256(abi.encode("request", i));
        a.signedAt = uint40(BEGIN);
    }

    function _leafOf(IAttestationHub.Attestation memory a) private pure returns (bytes32) {
        return keccak256(abi.encode(_attestationHash(a)));
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function _signRoot(uint96 atRisk, uint32 window) private view returns (bytes memory) {
        bytes32 typehash = keccak256(
            "AttestationRoot(bytes32 root,uint32 count,uint96 atRisk,uint32 window,address operator,uint40 signedAt)"
        );
        bytes32 structHash = keccak256(abi.encode(typehash, root, uint32(2), atRisk, window, operator, uint40(0)));
        return _sign(SIGNER_KEY, _typedDigest("PRSM AttestationHub", address(hub), structHash));
    }

    function _attestRoot() private returns (uint40 finalAt) {
        vm.prank(stranger);
        hub.attestRoot(root, 2, COVER, WINDOW_MIN, operator, 0, _signRoot(COVER, WINDOW_MIN));
        return uint40(block.timestamp) + WINDOW_MIN;
    }

    function _openLeaf(uint256 i) private {
        bytes32[] memory path = new bytes32[](1);
        path[0] = _leafOf(_small(1 - i));
        hub.openLeaf(rootKey, _small(i), path);
    }

    function _contradict(uint256 i) private {
        IAttestationHub.Attestation memory a = _small(i);
        verifier.accept(_publicWords(a, reporter, otherOutputs));
        IAttestationHub.Layer memory layer = IAttestationHub.Layer(1, a.circuitId, a.inputHash, a.outputHash);
        vm.prank(reporter);
        hub.contradict(a, layer, inputs, otherOutputs, new bytes32[][](0), "proof");
    }
}

/// @notice With an Arbiter: disputes, and results of several layers.
contract AttestationHubDisputeTest is AttestationWorld {
    ScriptedArbiter internal court;

    function setUp() public {
        court = new ScriptedArbiter();
        _ready(address(court));
    }

    function test_challenge_opens_a_dispute_with_the_terms_of_the_result() public {
        IAttestationHub.Attestation memory a = _challenged(VerdictClasses.FUZZY);
        IArbiter.DisputeTerms memory terms = IArbiter.DisputeTerms({
            client: address(hub),
            subject: keccak256(abi.encode(a.taskId, operator)),
            claimant: reporter,
            respondent: operator,
            bond: AT_RISK_FLOOR / 10,
            openedAt: uint40(block.timestamp),
            settleable: false,
            wallClock: false,
            twoThirds: true
        });
        assertEq(court.lastOpened(), keccak256(abi.encode(terms)));
        assertEq(court.evidenceOf(court.lastOpened()), EVIDENCE);
        _assertStatus(a, IAttestationHub.Status.CHALLENGED);
    }

    function test_challenge_reverts_outside_pending_staked_windows() public {
        IAttestationHub.Attestation memory a = _challenged(VerdictClasses.EXACT);
        uint40 finalAt = uint40(block.timestamp) + WINDOW_MIN;
        _expectNotChallengeable(IAttestationHub.Status.CHALLENGED, finalAt);
        hub.challenge(a, EVIDENCE);
        a = _result(Tiers.TRUSTED);
        a.taskId = keccak256("trusted");
        _attest(a);
        _expectNotChallengeable(IAttestationHub.Status.PENDING, finalAt);
        hub.challenge(a, EVIDENCE);
        a = _result(Tiers.STAKED);
        a.taskId = keccak256("late");
        _attest(a);
        vm.warp(finalAt);
        _expectNotChallengeable(IAttestationHub.Status.PENDING, finalAt);
        hub.challenge(a, EVIDENCE);
    }

    function test_conclude_waits_for_the_ruling_however_late() public {
        IAttestationHub.Attestation memory a = _challenged(VerdictClasses.EXACT);
        uint40 finalAt = uint40(block.timestamp) + WINDOW_MIN;
        vm.warp(finalAt + 10 days);
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubStillOpen.selector, finalAt));
        hub.conclude(a);
    }

    function test_conclude_slashes_for_the_claimant() public {
        IAttestationHub.Attestation memory a = _challenged(VerdictClasses.EXACT);
        court.rule(court.lastOpened(), IArbiter.Outcome.CLAIMANT, 0);
        _assertConcluded(a, IAttestationHub.Status.FAULTED, 0);
        assertEq(_stakeOf(operator), STAKE - AT_RISK_FLOOR);
        assertEq(vault.freeOf(reporter), AT_RISK_FLOOR / 2);
        // Again: the same answer, no second slash.
        _assertConcluded(a, IAttestationHub.Status.FAULTED, 0);
        assertEq(_stakeOf(operator), STAKE - AT_RISK_FLOOR);
    }

    function test_conclude_follows_the_other_outcomes() public {
        IAttestationHub.Attestation memory a = _challenged(VerdictClasses.EXACT);
        bytes32 id = court.lastOpened();
        uint256 snapshot = vm.snapshotState();
        court.rule(id, IArbiter.Outcome.RESPONDENT, 0);
        _assertConcluded(a, IAttestationHub.Status.FINAL, 10_000);
        vm.revertToState(snapshot);
        court.rule(id, IArbiter.Outcome.UNDECIDED, 0);
        _assertConcluded(a, IAttestationHub.Status.VOID, 0);
        vm.revertToState(snapshot);
        court.rule(id, IArbiter.Outcome.SETTLED, 3000);
        _assertConcluded(a, IAttestationHub.Status.SETTLED, 7000);
        _assertConcluded(a, IAttestationHub.Status.SETTLED, 7000);
        assertEq(_stakeOf(operator), STAKE);
    }

    /// Machine faults override until final: an open dispute is conceded.
    function test_proveEquivocation_concedes_an_open_dispute() public {
        IAttestationHub.Attestation memory a = _challenged(VerdictClasses.EXACT);
        IAttestationHub.Attestation memory b = _result(Tiers.STAKED);
        b.result = keccak256("other");
        hub.proveEquivocation(a, _signAttestation(SIGNER_KEY, a), b, _signAttestation(SIGNER_KEY, b));
        assertEq(court.lastConceded(), court.lastOpened());
        _assertConcluded(a, IAttestationHub.Status.FAULTED, 0);
    }

    // ── layers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A trace of two layers: the reporter opens the second one, whose output is false.
    function test_contradict_opens_one_layer_of_several() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Layer memory layer, bytes32[][] memory paths) =
            _layered();
        _attest(a);
        verifier.accept(_publicWordsOfLayer(a, layer));
        vm.prank(reporter);
        hub.contradict(a, layer, inputs, otherOutputs, paths, "proof");
        _assertStatus(a, IAttestationHub.Status.FAULTED);
    }

    function test_contradict_reverts_for_a_layer_that_was_not_committed() public {
        (IAttestationHub.Attestation memory a, IAttestationHub.Layer memory layer, bytes32[][] memory paths) =
            _layered();
        _attest(a);
        bytes memory refusal = abi.encodeWithSelector(IAttestationHub.AttestationHubNotContradicted.selector);
        layer.index = 1;
        _expect(refusal);
        hub.contradict(a, layer, inputs, otherOutputs, paths, "proof");
        layer.index = 2;
        layer.outputHash = keccak256("never signed");
        _expect(refusal);
        hub.contradict(a, layer, inputs, otherOutputs, paths, "proof");
        (, layer,) = _layered();
        layer.inputHash = keccak256("never signed");
        _expect(refusal);
        hub.contradict(a, layer, inputs, otherOutputs, paths, "proof");
        (, layer,) = _layered();
        _expect(refusal);
        hub.contradict(a, layer, inputs, otherOutputs, new bytes32[][](2), "proof");
    }

    // ── fixtures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _challenged(uint8 verdictClass) private returns (IAttestationHub.Attestation memory a) {
        a = _result(Tiers.STAKED);
        a.verdictClass = verdictClass;
        _attest(a);
        vm.prank(reporter);
        hub.challenge(a, EVIDENCE);
    }

    function _assertConcluded(IAttestationHub.Attestation memory a, IAttestationHub.Status expected, uint256 share)
        private
    {
        (IAttestationHub.Status verdict, uint16 shareBps) = hub.conclude(a);
        assertEq(uint256(verdict), uint256(expected));
        assertEq(shareBps, share);
        _assertStatus(a, expected);
        assertEq(_lockedOf(operator), 0);
    }

    function _expectNotChallengeable(IAttestationHub.Status status, uint40 finalAt) private {
        _expect(abi.encodeWithSelector(IAttestationHub.AttestationHubNotChallengeable.selector, status, finalAt));
    }

    function _leaf(uint32 index, bytes32 word) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(index, word))));
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// Two circuits; `inputs` is what layer 1 gave out, `outputs` what the operator says layer 2 gave.
    function _layered()
        private
        view
        returns (IAttestationHub.Attestation memory a, IAttestationHub.Layer memory layer, bytes32[][] memory paths)
    {
        bytes32 middle = keccak256(abi.encodePacked(inputs));
        bytes32 last = keccak256(abi.encodePacked(outputs));
        bytes32 circuit1 = _leaf(1, hashedCircuit);
        bytes32 circuit2 = _leaf(2, publicCircuit);
        bytes32 environment = _leaf(0, keccak256("environment"));
        bytes32 output1 = _leaf(1, middle);
        bytes32 output2 = _leaf(2, last);
        a = _result(Tiers.STAKED);
        a.inputHash = keccak256("first input");
        a.circuitId = _pair(circuit1, circuit2);
        a.execution = _pair(_pair(environment, output1), output2);
        layer = IAttestationHub.Layer(2, publicCircuit, middle, last);
        paths = new bytes32[][](3);
        paths[0] = new bytes32[](1);
        paths[0][0] = circuit1;
        paths[1] = new bytes32[](2);
        paths[1][0] = environment;
        paths[1][1] = output2;
        paths[2] = new bytes32[](1);
        paths[2][0] = _pair(environment, output1);
    }

    function _publicWordsOfLayer(IAttestationHub.Attestation memory a, IAttestationHub.Layer memory layer)
        private
        view
        returns (uint256[] memory)
    {
        a = abi.decode(abi.encode(a), (IAttestationHub.Attestation));
        a.circuitId = layer.circuitId;
        return _publicWords(a, reporter, otherOutputs);
    }
}
