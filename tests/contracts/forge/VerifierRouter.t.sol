// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    RevertingVerifier,
    SilentVerifier,
    WordVerifier,
    WritingVerifier
} from "../../../contracts/mocks/OddVerifiers.sol";
import {IGoverned} from "../../../contracts/base/IGoverned.sol";
import {IVerifierRouter} from "../../../contracts/oracle/IVerifierRouter.sol";
import {JobWorld} from "./JobWorld.sol";

contract VerifierRouterTest is JobWorld {
    bytes32 internal constant MANIFEST = keccak256("manifest");
    bytes32 internal constant REASON = keccak256("reason");
    address internal announcer = address(0xA110);
    address internal warden = address(0x3A4D);

    function setUp() public {
        _deploy(address(0));
        _fund(announcer, 1000 ether);
        offices.seat(bytes32("WARDEN"), warden);
    }

    // ── announcing ───────────────────────────────────────────────────────────────────────────────────────────────────

    function test_announce_derives_the_id_and_holds_the_bond() public {
        IVerifierRouter.Circuit memory circuit = _public();
        bytes32 id = _announce(circuit, MANIFEST);
        bytes32 codeHash = address(verifier).codehash;
        assertEq(id, keccak256(abi.encode(MANIFEST, codeHash, uint256(30), uint256(1), uint256(0), uint256(1))));
        assertEq(id, router.circuitIdOf(circuit, codeHash, MANIFEST));
        (address by, uint96 bond) = router.bondOf(id);
        assertEq(by, announcer);
        assertEq(bond, ANNOUNCE_BOND);
        assertEq(vault.heldBy(address(router)), ANNOUNCE_BOND);
        (uint40 enabledFrom, bytes32 storedHash, bool isRemoved) = router.stateOf(id);
        assertEq(enabledFrom, block.timestamp + NOTICE);
        assertEq(storedHash, codeHash);
        assertTrue(!isRemoved);
        IVerifierRouter.Circuit memory stored = router.circuitOf(id);
        assertEq(keccak256(abi.encode(stored)), keccak256(abi.encode(circuit)));
    }

    /// ROUTER-1: whatever differs is another circuit.
    function test_announce_gives_another_id_for_any_other_layout() public {
        IVerifierRouter.Circuit memory circuit = _public();
        bytes32 id = _announce(circuit, MANIFEST);
        circuit.inputs = 31;
        bytes32 otherInputs = _announce(circuit, MANIFEST);
        circuit.inputs = 30;
        circuit.hashedInput = true;
        bytes32 hashed = _announce(circuit, MANIFEST);
        bytes32 otherManifest = _announce(circuit, REASON);
        assertTrue(id != otherInputs && id != hashed && hashed != otherManifest && otherInputs != hashed);
    }

    function test_announce_reverts_when_known() public {
        bytes32 id = _announce(_public(), MANIFEST);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterKnown.selector, id));
        vm.prank(stranger);
        router.announce(_public(), MANIFEST);
    }

    function test_announce_reverts_without_code() public {
        IVerifierRouter.Circuit memory circuit = _public();
        circuit.verifier = stranger;
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNoCode.selector, stranger));
        router.announce(circuit, MANIFEST);
    }

    function test_announce_reverts_one_word_above_the_limit() public {
        IVerifierRouter.Circuit memory circuit = _public();
        circuit.inputs = 1012;
        circuit.outputs = 1;
        _announce(circuit, MANIFEST);
        circuit.inputs = 1013;
        _expect(
            abi.encodeWithSelector(IVerifierRouter.VerifierRouterTooManyWords.selector, uint256(1025), uint256(1024))
        );
        router.announce(circuit, MANIFEST);
        // A hidden input is no word of the proof.
        circuit.hashedInput = true;
        _announce(circuit, MANIFEST);
    }

    /// ROUTER-2: no single party's set-up outside development chains.
    function test_announce_reverts_for_a_single_setup_on_a_public_chain() public {
        IVerifierRouter.Circuit memory circuit = _public();
        circuit.setup = IVerifierRouter.Setup.SINGLE;
        bytes32 id = router.circuitIdOf(circuit, address(verifier).codehash, MANIFEST);
        vm.chainId(8453);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterDevelopmentSetup.selector, id, uint256(8453)));
        router.announce(circuit, MANIFEST);
        vm.chainId(1337);
        _announce(circuit, MANIFEST);
        vm.chainId(31_337);
        _announce(circuit, REASON);
    }

    function test_announce_reverts_while_admin_is_halted() public {
        uint40 until = _halt(ADMIN, 1 hours);
        _expect(_halted(ADMIN, until));
        vm.prank(announcer);
        router.announce(_public(), MANIFEST);
    }

    // ── verifying ────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_verify_answers_as_the_verifier_does() public {
        bytes32 id = _enabled(_public());
        uint256[] memory words = new uint256[](42);
        assertTrue(!router.verify(id, "", words));
        verifier.accept(words);
        assertTrue(router.verify(id, "", words));
        words[41] = 1;
        assertTrue(!router.verify(id, "", words));
    }

    function test_verify_reverts_for_an_unknown_circuit() public {
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterUnknown.selector, MANIFEST));
        router.verify(MANIFEST, "", new uint256[](42));
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterUnknown.selector, MANIFEST));
        router.circuitOf(MANIFEST);
        assertTrue(!router.isEnabled(MANIFEST));
    }

    /// ROUTER-3: no use before the notice has ended.
    function test_verify_reverts_one_second_before_the_notice_ends() public {
        bytes32 id = _announce(_public(), MANIFEST);
        uint40 enabledFrom = uint40(block.timestamp) + NOTICE;
        vm.warp(enabledFrom - 1);
        assertTrue(!router.isEnabled(id));
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNotEnabled.selector, id, enabledFrom));
        router.verify(id, "", new uint256[](42));
        vm.warp(enabledFrom);
        assertTrue(router.isEnabled(id));
        router.verify(id, "", new uint256[](42));
    }

    function test_verify_reverts_when_the_code_changed() public {
        bytes32 id = _enabled(_public());
        vm.etch(address(verifier), address(new WordVerifier()).code);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterCodeChanged.selector, id));
        router.verify(id, "", new uint256[](42));
    }

    function test_verify_reverts_for_one_word_more_or_less() public {
        bytes32 id = _enabled(_public());
        for (uint256 given = 41; given <= 43; given += 2) {
            _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterInstanceCount.selector, given, uint256(42)));
            router.verify(id, "", new uint256[](given));
        }
    }

    function test_verify_is_false_whenever_the_verifier_does_not_plainly_accept() public {
        address[4] memory odd = [
            address(new RevertingVerifier()),
            address(new WritingVerifier()),
            address(new WordVerifier()),
            address(new SilentVerifier())
        ];
        for (uint256 i = 0; i < odd.length; ++i) {
            IVerifierRouter.Circuit memory circuit = _public();
            circuit.verifier = odd[i];
            bytes32 id = _enabled(circuit);
            assertTrue(!router.verify(id, "", new uint256[](42)));
        }
        assertEq(WritingVerifier(odd[1]).calls(), 0);
    }

    // ── removing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// ROUTER-1: a removed circuit never verifies again and cannot come back.
    function test_remove_is_at_once_and_for_good() public {
        bytes32 id = _enabled(_public());
        vm.prank(warden);
        router.remove(id, REASON);
        bytes memory refusal = abi.encodeWithSelector(IVerifierRouter.VerifierRouterRemoved.selector, id);
        _expect(refusal);
        router.verify(id, "", new uint256[](42));
        assertTrue(!router.isEnabled(id));
        _expect(refusal);
        vm.prank(governance);
        router.remove(id, REASON);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterKnown.selector, id));
        router.announce(_public(), MANIFEST);
        // The bond is the KillSwitch's; the announcer has nothing to reclaim.
        assertEq(vault.heldBy(address(router)), 0);
        assertEq(vault.freeOf(killSwitch), ANNOUNCE_BOND);
        vm.warp(block.timestamp + BOND_HOLD);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNotAnnouncer.selector, announcer));
        vm.prank(announcer);
        router.reclaimBond(id);
        (,, bool isRemoved) = router.stateOf(id);
        assertTrue(isRemoved);
    }

    function test_remove_is_open_to_governance() public {
        bytes32 id = _enabled(_public());
        vm.prank(governance);
        router.remove(id, REASON);
        assertTrue(!router.isEnabled(id));
    }

    function test_remove_reverts_for_a_stranger() public {
        bytes32 id = _enabled(_public());
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNotWarden.selector, stranger));
        vm.prank(stranger);
        router.remove(id, REASON);
    }

    // ── the bond ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_reclaimBond_pays_once_and_not_one_second_early() public {
        bytes32 id = _announce(_public(), MANIFEST);
        uint40 until = uint40(block.timestamp) + BOND_HOLD;
        vm.startPrank(announcer);
        vm.warp(until - 1);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterBondHeld.selector, until));
        router.reclaimBond(id);
        vm.warp(until);
        router.reclaimBond(id);
        assertEq(vault.freeOf(announcer), 1000 ether);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNotAnnouncer.selector, announcer));
        router.reclaimBond(id);
        vm.stopPrank();
        assertTrue(router.isEnabled(id));
    }

    function test_reclaimBond_reverts_for_anybody_else() public {
        bytes32 id = _announce(_public(), MANIFEST);
        vm.warp(block.timestamp + BOND_HOLD);
        _expect(abi.encodeWithSelector(IVerifierRouter.VerifierRouterNotAnnouncer.selector, stranger));
        vm.prank(stranger);
        router.reclaimBond(id);
    }

    function test_setAnnounceBond_holds_to_its_bounds() public {
        vm.startPrank(governance);
        router.setAnnounceBond(10 ether);
        assertEq(router.announceBond(), 10 ether);
        router.setAnnounceBond(10_000 ether);
        assertEq(router.announceBond(), 10_000 ether);
        bytes32 key = "announceBond";
        uint256 low = 10 ether;
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueBelowMin.selector, key, low - 1, low));
        router.setAnnounceBond(uint96(low - 1));
        uint256 high = 10_000 ether;
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueAboveMax.selector, key, high + 1, high));
        router.setAnnounceBond(uint96(high + 1));
        vm.stopPrank();
        _expect(abi.encodeWithSelector(IGoverned.GovernedNotGovernance.selector, stranger));
        vm.prank(stranger);
        router.setAnnounceBond(uint96(low));
    }

    // ── fixtures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _public() private view returns (IVerifierRouter.Circuit memory) {
        return IVerifierRouter.Circuit(address(verifier), 30, 1, false, IVerifierRouter.Setup.SHARED);
    }

    function _announce(IVerifierRouter.Circuit memory circuit, bytes32 manifest) private returns (bytes32) {
        vm.prank(announcer);
        return router.announce(circuit, manifest);
    }

    function _enabled(IVerifierRouter.Circuit memory circuit) private returns (bytes32 id) {
        id = _announce(circuit, MANIFEST);
        vm.warp(block.timestamp + NOTICE);
    }
}
