// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Escrow} from "../../../contracts/market/Escrow.sol";
import {IEscrow} from "../../../contracts/market/IEscrow.sol";
import {RegisteredVerifier} from "../../../contracts/mocks/RegisteredVerifier.sol";
import {AttestationHub} from "../../../contracts/oracle/AttestationHub.sol";
import {IAttestationHub} from "../../../contracts/oracle/IAttestationHub.sol";
import {IVerifierRouter} from "../../../contracts/oracle/IVerifierRouter.sol";
import {OracleRegistry} from "../../../contracts/oracle/OracleRegistry.sol";
import {Tiers, VerdictClasses} from "../../../contracts/oracle/Tiers.sol";
import {VerifierRouter} from "../../../contracts/oracle/VerifierRouter.sol";
import {SeatedOffices} from "../../../contracts/mocks/SeatedOffices.sol";
import {IProvenance, RecordKinds} from "../../../contracts/registry/IProvenance.sol";
import {Provenance} from "../../../contracts/registry/Provenance.sol";
import {Royalties} from "../../../contracts/registry/Royalties.sol";
import {IHaltable} from "../../../contracts/safety/IHaltable.sol";
import {FTNS} from "../../../contracts/token/FTNS.sol";
import {Vault} from "../../../contracts/token/Vault.sol";
import {ForgeTest} from "./Vm.sol";

/// @notice The contracts of a job with their actors: buyer, steward, operator and its signer, payee, stranger.
/// The test itself is the KillSwitch and the Market, so that halts and purchases can be played.
abstract contract JobWorld is ForgeTest {
    // ── actors ───────────────────────────────────────────────────────────────────────────────────────────────────────

    uint256 internal constant BUYER_KEY = 0xB0;
    uint256 internal constant STEWARD_KEY = 0xB1;
    uint256 internal constant OPERATOR_KEY = 0x0A;
    uint256 internal constant SIGNER_KEY = 0x0B;
    uint256 internal constant STRANGER_KEY = 0x5E;

    address internal buyer = vm.addr(BUYER_KEY);
    address internal steward = vm.addr(STEWARD_KEY);
    address internal operator = vm.addr(OPERATOR_KEY);
    address internal signer = vm.addr(SIGNER_KEY);
    address internal stranger = vm.addr(STRANGER_KEY);
    address internal payee = address(0xFA1EE);
    address internal reporter = address(0x5EE);
    address internal governance = address(0x601);

    // ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────

    uint40 internal constant EXIT_DELAY = 14 days;
    uint96 internal constant SEAT_UNIT = 10_000 ether;
    uint32 internal constant WINDOW_MIN = 1 hours;
    uint32 internal constant WINDOW_MAX = 7 days;
    uint96 internal constant AT_RISK_FLOOR = 100 ether;
    uint16 internal constant CHALLENGE_BPS = 1000;
    uint40 internal constant NOTICE = 3 days;
    uint96 internal constant ANNOUNCE_BOND = 100 ether;
    uint40 internal constant BOND_HOLD = 90 days;
    uint32 internal constant OPEN_MAX = 30 days;
    uint32 internal constant DELIVERY_MIN = 60;
    uint32 internal constant DELIVERY_MAX = 30 days;
    uint16 internal constant STARTED_MAX_BPS = 2000;
    uint96 internal constant LONG_WINDOW_FROM = 100 ether;
    uint32 internal constant LONG_WINDOW = 24 hours;
    uint96 internal constant BUDGET = 1000 ether;
    uint96 internal constant PRICE = 50 ether;
    uint96 internal constant STAKE = 20_000 ether;

    uint8 internal constant INTAKE = 1;
    uint8 internal constant PAYOUT = 2;
    uint8 internal constant ADMIN = 3;
    uint256 internal constant FIELD =
        21_888_242_871_839_275_222_246_405_745_257_275_088_548_364_400_416_034_343_698_204_186_575_808_495_617;
    uint256 internal constant BEGIN = 1_700_000_000;
    bytes32 internal constant PROFILE_OF_OPERATOR = keccak256("profile of the operator");

    // ── contracts ────────────────────────────────────────────────────────────────────────────────────────────────────

    FTNS internal ftns;
    Vault internal vault;
    Provenance internal provenance;
    Royalties internal royalties;
    OracleRegistry internal registry;
    VerifierRouter internal router;
    AttestationHub internal hub;
    Escrow internal escrow;
    RegisteredVerifier internal verifier;
    SeatedOffices internal offices;
    address internal killSwitch = address(this);
    bytes32 internal publicCircuit;
    bytes32 internal hashedCircuit;

    IHaltable.Halts private _word;

    /// The word that contracts deployed later would copy.
    function halts() external view returns (IHaltable.Halts memory) {
        return _word;
    }

    function _deploy(address arbiter) internal {
        vm.warp(BEGIN);
        verifier = new RegisteredVerifier();
        offices = new SeatedOffices();
        uint64 nonce = vm.getNonce(address(this));
        address[] memory modules = new address[](4);
        modules[0] = vm.computeCreateAddress(address(this), nonce + 3);
        modules[1] = vm.computeCreateAddress(address(this), nonce + 4);
        modules[2] = vm.computeCreateAddress(address(this), nonce + 5);
        modules[3] = vm.computeCreateAddress(address(this), nonce + 7);
        address hubAddress = vm.computeCreateAddress(address(this), nonce + 6);

        address[] memory recipients = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        recipients[0] = address(this);
        amounts[0] = 1e27;
        ftns = new FTNS(recipients, amounts);
        vault = new Vault(ftns, governance, killSwitch, modules, 1000 ether, 24 hours, 14 days);
        provenance = new Provenance(governance, killSwitch, 12, 1 days, 3000, 5000);
        royalties =
            new Royalties(vault, provenance, modules[3], address(0), address(0), governance, killSwitch, 200, 3000);
        registry = new OracleRegistry(vault, hubAddress, arbiter, killSwitch, EXIT_DELAY, SEAT_UNIT);
        router = new VerifierRouter(vault, governance, offices, killSwitch, NOTICE, ANNOUNCE_BOND, BOND_HOLD);
        hub = new AttestationHub(
            modules[3], registry, router, arbiter, killSwitch, WINDOW_MIN, WINDOW_MAX, AT_RISK_FLOOR, CHALLENGE_BPS
        );
        escrow = new Escrow(
            vault,
            hub,
            provenance,
            royalties,
            address(this),
            killSwitch,
            OPEN_MAX,
            DELIVERY_MIN,
            DELIVERY_MAX,
            STARTED_MAX_BPS,
            LONG_WINDOW_FROM,
            LONG_WINDOW
        );
        assertEq(address(escrow), modules[3]);
        assertEq(address(hub), hubAddress);
        ftns.approve(address(vault), type(uint256).max);
        _announceCircuits();
    }

    function _announceCircuits() private {
        address announcer = address(0xA22);
        _fund(announcer, 2 * ANNOUNCE_BOND);
        IVerifierRouter.Circuit memory circuit =
            IVerifierRouter.Circuit(address(verifier), 2, 1, false, IVerifierRouter.Setup.CEREMONY);
        vm.startPrank(announcer);
        publicCircuit = router.announce(circuit, keccak256("public"));
        circuit.hashedInput = true;
        hashedCircuit = router.announce(circuit, keccak256("hashed"));
        vm.warp(block.timestamp + BOND_HOLD);
        router.reclaimBond(publicCircuit);
        router.reclaimBond(hashedCircuit);
        vm.stopPrank();
    }

    // ── money, people, halts ─────────────────────────────────────────────────────────────────────────────────────────

    function _fund(address account, uint96 amount) internal {
        vault.deposit(account, amount);
    }

    function _register(uint96 stake) internal {
        _fund(operator, 100_000 ether);
        vm.prank(operator);
        registry.register(signer, PROFILE_OF_OPERATOR, stake);
    }

    function _registerRecord(uint16 royaltyBps) internal returns (bytes32 recordId) {
        IProvenance.Registration memory r =
            IProvenance.Registration(RecordKinds.MODEL, keccak256("model"), address(0x07E), royaltyBps, 0);
        bytes32 salt = keccak256("salt");
        provenance.commit(keccak256(abi.encode(r, salt, address(this))));
        vm.warp(block.timestamp + 12);
        return provenance.register(r, new IProvenance.Parent[](0), salt);
    }

    /// As the KillSwitch does: the word goes to every target.
    function _halt(uint8 flow, uint40 duration) internal returns (uint40 until) {
        uint40 present = uint40(block.timestamp);
        until = present + duration;
        if (flow == ADMIN) {
            _word.adminUntil = until;
        } else {
            _word.intakeFrom = present;
            _word.intakeUntil = until;
        }
        if (flow == PAYOUT) {
            _word.payoutSpent += _word.payoutUntil - _word.payoutFrom;
            _word.payoutFrom = present;
            _word.payoutUntil = until;
        }
        vault.setHalts(_word);
        royalties.setHalts(_word);
        registry.setHalts(_word);
        router.setHalts(_word);
        hub.setHalts(_word);
        escrow.setHalts(_word);
    }

    function _halted(uint8 flow, uint40 until) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IHaltable.HaltableFlowHalted.selector, flow, until);
    }

    // ── jobs and tasks ───────────────────────────────────────────────────────────────────────────────────────────────

    function _terms() internal view returns (IEscrow.JobTerms memory) {
        return IEscrow.JobTerms(buyer, steward, keccak256("question"), 10 days, 1);
    }

    function _open(IEscrow.JobTerms memory terms, uint96 budget) internal returns (bytes32) {
        _fund(terms.buyer, budget * 2);
        vm.prank(terms.buyer);
        return escrow.open(terms, budget);
    }

    /// A task with a public input of two words.
    function _assignment(bytes32 jobId, uint8 tier) internal view returns (IEscrow.Assignment memory a) {
        a.jobId = jobId;
        a.operator = operator;
        a.payee = payee;
        a.circuitId = publicCircuit;
        a.inputHash = keccak256(abi.encodePacked(_taskInputs()));
        a.spec = keccak256("spec");
        a.price = PRICE;
        a.tier = tier;
        a.verdictClass = VerdictClasses.EXACT;
        a.deliverWithin = 1 hours;
        a.startedBps = 1000;
        a.quoteUntil = uint40(block.timestamp) + 60;
        a.salt = 7;
        if (tier == Tiers.STAKED) a.atRisk = AT_RISK_FLOOR;
        if (tier != Tiers.PROVED) a.window = 2 hours;
    }

    function _taskInputs() internal pure returns (uint256[] memory words) {
        words = new uint256[](2);
        words[0] = 3;
        words[1] = FIELD - 4;
    }

    function _taskOutputs() internal pure returns (uint256[] memory words) {
        words = new uint256[](1);
        words[0] = 1000;
    }

    function _assign(IEscrow.Assignment memory a) internal {
        _assign(a, _signAssignment(SIGNER_KEY, a));
    }

    function _assign(IEscrow.Assignment memory a, bytes memory signature) internal {
        IEscrow.Assignment[] memory list = new IEscrow.Assignment[](1);
        bytes[] memory signatures = new bytes[](1);
        list[0] = a;
        signatures[0] = signature;
        vm.prank(steward);
        escrow.assign(_terms(), list, signatures);
    }

    function _deliver(IEscrow.Assignment memory a) internal {
        IAttestationHub.Proof memory proof = _noProof();
        if (a.tier == Tiers.PROVED) {
            proof = _proofOf();
            bytes32 request = keccak256(abi.encode(a.jobId, a.salt));
            bytes32 context = _contextOf(block.chainid, address(hub), request, a.circuitId, a.operator);
            verifier.accept(_wordsOf(proof.inputs, context, proof.outputs));
        }
        escrow.deliver(_terms(), a, _resultOf(a), _signResult(a), proof);
    }

    function _resultOf(IEscrow.Assignment memory) internal pure returns (IEscrow.Result memory) {
        bytes32 outputHash = keccak256(abi.encodePacked(_taskOutputs()));
        return IEscrow.Result(outputHash, keccak256("file"), bytes32(0), uint40(BEGIN));
    }

    function _noProof() internal pure returns (IAttestationHub.Proof memory proof) {}

    function _proofOf() internal pure returns (IAttestationHub.Proof memory) {
        return IAttestationHub.Proof("proof", _taskInputs(), _taskOutputs());
    }

    // ── words, hashes and signatures, written down independently of the contracts ────────────────────────────────────

    function _contextOf(uint256 chainId, address hub_, bytes32 request, bytes32 circuitId, address prover)
        internal
        pure
        returns (bytes32)
    {
        bytes32 typehash =
            keccak256("Context(uint256 chainId,address hub,bytes32 request,bytes32 circuitId,address operator)");
        return keccak256(abi.encode(typehash, chainId, hub_, request, circuitId, prover));
    }

    function _wordsOf(uint256[] memory input, bytes32 context, uint256[] memory output)
        internal
        pure
        returns (uint256[] memory words)
    {
        words = new uint256[](input.length + 11 + output.length);
        for (uint256 i = 0; i < input.length; ++i) {
            words[i] = input[i];
        }
        for (uint256 i = 0; i < 11; ++i) {
            words[input.length + i] = (uint256(context) / (2 ** (24 * i))) % (2 ** 24);
        }
        for (uint256 i = 0; i < output.length; ++i) {
            words[input.length + 11 + i] = output[i];
        }
    }

    function _assignmentHash(IEscrow.Assignment memory a) internal pure returns (bytes32) {
        bytes32[17] memory words;
        words[0] = keccak256(
            "Assignment(bytes32 jobId,address operator,address payee,bytes32[] records,bytes32 circuitId,"
            "bytes32 inputHash,bytes32 spec,uint96 price,uint96 atRisk,uint8 tier,uint8 verdictClass,"
            "uint32 deliverWithin,uint32 window,uint16 startedBps,uint40 quoteUntil,uint256 salt)"
        );
        words[1] = a.jobId;
        words[2] = bytes32(uint256(uint160(a.operator)));
        words[3] = bytes32(uint256(uint160(a.payee)));
        words[4] = keccak256(abi.encodePacked(a.records));
        words[5] = a.circuitId;
        words[6] = a.inputHash;
        words[7] = a.spec;
        words[8] = bytes32(uint256(a.price));
        words[9] = bytes32(uint256(a.atRisk));
        words[10] = bytes32(uint256(a.tier));
        words[11] = bytes32(uint256(a.verdictClass));
        words[12] = bytes32(uint256(a.deliverWithin));
        words[13] = bytes32(uint256(a.window));
        words[14] = bytes32(uint256(a.startedBps));
        words[15] = bytes32(uint256(a.quoteUntil));
        words[16] = bytes32(a.salt);
        return keccak256(abi.encodePacked(words));
    }

    function _attestationHash(IAttestationHub.Attestation memory a) internal pure returns (bytes32) {
        bytes32[15] memory words;
        words[0] = keccak256(
            "Attestation(bytes32 taskId,bytes32 request,bytes32 modelId,bytes32 circuitId,bytes32 inputHash,"
            "bytes32 outputHash,bytes32 result,bytes32 execution,uint8 tier,uint8 verdictClass,address operator,"
            "uint96 atRisk,uint32 window,uint40 signedAt)"
        );
        words[1] = a.taskId;
        words[2] = a.request;
        words[3] = a.modelId;
        words[4] = a.circuitId;
        words[5] = a.inputHash;
        words[6] = a.outputHash;
        words[7] = a.result;
        words[8] = a.execution;
        words[9] = bytes32(uint256(a.tier));
        words[10] = bytes32(uint256(a.verdictClass));
        words[11] = bytes32(uint256(uint160(a.operator)));
        words[12] = bytes32(uint256(a.atRisk));
        words[13] = bytes32(uint256(a.window));
        words[14] = bytes32(uint256(a.signedAt));
        return keccak256(abi.encodePacked(words));
    }

    /// What the Escrow must make of an assignment and a result.
    function _attestationOf(IEscrow.Assignment memory a, IEscrow.Result memory result)
        internal
        pure
        returns (IAttestationHub.Attestation memory b)
    {
        b.taskId = _assignmentHash(a);
        b.request = keccak256(abi.encode(a.jobId, a.salt));
        b.modelId = a.records.length == 0 ? bytes32(0) : a.records[0];
        b.circuitId = a.circuitId;
        b.inputHash = a.inputHash;
        b.outputHash = result.outputHash;
        b.result = result.result;
        b.execution = result.execution;
        b.tier = a.tier;
        b.verdictClass = a.verdictClass;
        b.operator = a.operator;
        b.atRisk = a.atRisk;
        b.window = a.window;
        b.signedAt = result.signedAt;
    }

    function _signAssignment(uint256 key, IEscrow.Assignment memory a) internal view returns (bytes memory) {
        return _sign(key, "PRSM Escrow", address(escrow), _assignmentHash(a));
    }

    function _signDecline(uint256 key, IEscrow.Assignment memory a, uint8 code) internal view returns (bytes memory) {
        bytes32 typehash = keccak256("Decline(bytes32 taskId,uint8 code)");
        bytes32 structHash = keccak256(abi.encode(typehash, _assignmentHash(a), code));
        return _sign(key, "PRSM Escrow", address(escrow), structHash);
    }

    function _signAgreement(uint256 key, IEscrow.Assignment memory a, uint96 toPayee, uint40 validUntil)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typehash = keccak256("Agreement(bytes32 taskId,uint96 toPayee,uint40 validUntil)");
        bytes32 structHash = keccak256(abi.encode(typehash, _assignmentHash(a), toPayee, validUntil));
        return _sign(key, "PRSM Escrow", address(escrow), structHash);
    }

    function _signAttestation(uint256 key, IAttestationHub.Attestation memory a) internal view returns (bytes memory) {
        return _sign(key, "PRSM AttestationHub", address(hub), _attestationHash(a));
    }

    function _signResult(IEscrow.Assignment memory a) internal view returns (bytes memory) {
        return _signAttestation(SIGNER_KEY, _attestationOf(a, _resultOf(a)));
    }

    function _recoverAttestation(IAttestationHub.Attestation memory a, bytes memory signature)
        internal
        view
        returns (address)
    {
        bytes32 digest = _typedDigest("PRSM AttestationHub", address(hub), _attestationHash(a));
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        return ecrecover(digest, uint8(signature[64]), r, s);
    }

    function _sign(uint256 key, string memory name, address verifying, bytes32 structHash)
        private
        view
        returns (bytes memory)
    {
        return _sign(key, _typedDigest(name, verifying, structHash));
    }
}
