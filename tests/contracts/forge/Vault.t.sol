// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IGoverned} from "../../../contracts/base/IGoverned.sol";
import {ReenteringWallet} from "../../../contracts/mocks/ReenteringWallet.sol";
import {IFTNS} from "../../../contracts/token/IFTNS.sol";
import {IVault} from "../../../contracts/token/IVault.sol";
import {Vault} from "../../../contracts/token/Vault.sol";
import {MoneyWorld} from "./MoneyWorld.sol";

contract VaultTest is MoneyWorld {
    address private later = address(0x1A7E4);

    function setUp() public {
        _deploy();
    }

    // ── deployment ───────────────────────────────────────────────────────────────────────────────────────────────────

    function test_deploy_fixes_the_core_set_and_passes_over_zero() public view {
        assertTrue(vault.isModule(escrow));
        assertTrue(vault.isModule(address(channels)));
        assertFalse(vault.isModule(address(0)));
        assertFalse(vault.isModule(stranger));
        assertEq(vault.exitAllowance(), EXIT_ALLOWANCE);
        assertLe(address(vault).code.length, 24_576);
    }

    function test_deploy_refuses_an_exit_delay_above_a_day() public {
        _expect(
            abi.encodeWithSelector(
                IGoverned.GovernedValueAboveMax.selector, bytes32("exitDelay"), 24 hours + 1, 24 hours
            )
        );
        new Vault(IFTNS(address(ftns)), governance, killSwitch, new address[](0), 0, 24 hours + 1, MODULE_NOTICE);
    }

    // ── deposits ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_deposit_credits_whom_it_names() public {
        ftns.approve(address(vault), 5 ether);
        vm.expectEmit(address(vault));
        emit IVault.VaultDeposited(address(this), payee, 5 ether);
        vault.deposit(payee, 5 ether);
        assertEq(vault.freeOf(payee), 5 ether);
        assertEq(ftns.balanceOf(address(vault)), 2 * uint256(RICHES) + 5 ether);
    }

    function test_deposit_refuses_nothing() public {
        _expect(abi.encodeWithSelector(IVault.VaultZeroAmount.selector));
        vault.deposit(payee, 0);
    }

    function test_deposit_refuses_nobody_and_modules() public {
        _expect(abi.encodeWithSelector(IVault.VaultReceiverInvalid.selector, address(0)));
        vault.deposit(address(0), 1);
        _expect(abi.encodeWithSelector(IVault.VaultReceiverInvalid.selector, escrow));
        vault.deposit(escrow, 1);
    }

    function test_deposit_refuses_what_was_not_approved() public {
        _expect(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(vault), 0, 1));
        vault.deposit(payee, 1);
    }

    function test_deposit_by_signature_credits_the_signer_whoever_relays() public {
        ftns.transfer(owner, 9 ether);
        bytes32 nonce = bytes32(uint256(3) << 64);
        bytes memory signature = _authorisation(9 ether, nonce);
        vm.prank(stranger);
        vault.depositBySig(owner, 9 ether, 0, block.timestamp + 1, nonce, signature);
        assertEq(vault.freeOf(owner), RICHES + 9 ether);
        assertEq(ftns.balanceOf(owner), 0);
    }

    function _authorisation(uint96 amount, bytes32 nonce) private view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
                    "uint256 validBefore,bytes32 nonce)"
                ),
                owner,
                address(vault),
                uint256(amount),
                uint256(0),
                block.timestamp + 1,
                nonce
            )
        );
        return _sign(OWNER_KEY, _typedDigest("FTNS", address(ftns), structHash));
    }

    /// A contract wallet may sign; what it calls back while it is asked is a static call and changes nothing.
    function test_deposit_by_signature_of_a_hostile_wallet_cannot_reenter() public {
        ReenteringWallet wallet = new ReenteringWallet();
        ftns.transfer(address(wallet), 9 ether);
        wallet.arm(address(vault), abi.encodeCall(IVault.withdraw, (9 ether, address(wallet))));
        vault.depositBySig(address(wallet), 9 ether, 0, block.timestamp + 1, bytes32(uint256(3) << 64), "");
        assertEq(vault.freeOf(address(wallet)), 9 ether);
        assertEq(ftns.balanceOf(address(wallet)), 0);
        assertEq(ftns.balanceOf(address(vault)), 2 * uint256(RICHES) + 9 ether);
    }

    // ── withdrawals ──────────────────────────────────────────────────────────────────────────────────────────────────

    function test_withdraw_sends_anywhere_while_payout_flows() public {
        vm.expectEmit(address(vault));
        emit IVault.VaultWithdrawn(owner, payee, RICHES);
        vm.prank(owner);
        vault.withdraw(RICHES, payee);
        assertEq(ftns.balanceOf(payee), RICHES);
        assertEq(vault.freeOf(owner), 0);
    }

    function test_withdraw_refuses_one_wei_more_than_is_free() public {
        _expect(abi.encodeWithSelector(IVault.VaultFreeTooLow.selector, RICHES, uint256(RICHES) + 1));
        vm.prank(owner);
        vault.withdraw(RICHES + 1, owner);
    }

    function test_withdraw_refuses_the_vault_as_receiver() public {
        _expect(abi.encodeWithSelector(IVault.VaultReceiverInvalid.selector, address(vault)));
        vm.prank(owner);
        vault.withdraw(1, address(vault));
    }

    function test_withdraw_is_slowed_to_the_allowance_a_day_while_halted() public {
        _trip(PAYOUT, 10 days);
        assertEq(vault.exitAllowanceLeft(owner), EXIT_ALLOWANCE);
        vm.startPrank(owner);
        vault.withdraw(EXIT_ALLOWANCE - 1 gwei, owner);
        assertEq(vault.exitAllowanceLeft(owner), 1 gwei);
        _expect(abi.encodeWithSelector(IVault.VaultExitSlowed.selector, 1 gwei + 1, 1 gwei));
        vault.withdraw(1 gwei + 1, owner);
        // One wei uses up a whole gwei.
        vault.withdraw(1, owner);
        _expect(abi.encodeWithSelector(IVault.VaultExitSlowed.selector, 1, 0));
        vault.withdraw(1, owner);
        vm.warp((uint256(START) / 1 days + 1) * 1 days);
        vault.withdraw(EXIT_ALLOWANCE, owner);
        vm.stopPrank();
        assertEq(ftns.balanceOf(owner), 2 * uint256(EXIT_ALLOWANCE) - 1 gwei + 1);
    }

    function test_withdraw_refuses_another_receiver_while_halted() public {
        _trip(PAYOUT, 1 hours);
        _expect(abi.encodeWithSelector(IVault.VaultRedirectedWhileHalted.selector, payee));
        vm.prank(owner);
        vault.withdraw(1, payee);
    }

    function test_withdraw_is_not_slowed_by_other_halts() public {
        _trip(INTAKE, 1 days);
        _trip(ADMIN, 1 days);
        vm.prank(owner);
        vault.withdraw(RICHES, payee);
        assertEq(ftns.balanceOf(payee), RICHES);
    }

    function test_allowance_lowered_below_what_was_used_leaves_nothing() public {
        _trip(PAYOUT, 1 days);
        vm.prank(owner);
        vault.withdraw(500 ether, owner);
        vm.prank(governance);
        vault.setExitAllowance(100 ether);
        assertEq(vault.exitAllowanceLeft(owner), 0);
        assertEq(vault.exitAllowanceLeft(stranger), 100 ether);
    }

    // ── exits, TOKEN-7 ───────────────────────────────────────────────────────────────────────────────────────────────

    function test_exit_pays_its_owner_within_a_day_of_any_halt() public {
        _trip(PAYOUT, 60 days);
        _trip(ADMIN, 60 days);
        vm.expectEmit(address(vault));
        emit IVault.VaultExitQueued(owner, RICHES, START + 24 hours);
        vm.prank(owner);
        vault.queueExit(RICHES);
        (uint96 amount, uint40 readyAt) = vault.exitOf(owner);
        assertEq(amount, RICHES);
        assertEq(readyAt, START + 24 hours);
        vm.warp(readyAt - 1);
        _expect(abi.encodeWithSelector(IVault.VaultExitNotReady.selector, readyAt));
        vault.completeExit(owner);
        vm.warp(readyAt);
        vm.expectEmit(address(vault));
        emit IVault.VaultExitCompleted(owner, RICHES);
        vm.prank(stranger);
        vault.completeExit(owner);
        assertEq(ftns.balanceOf(owner), RICHES);
        _expect(abi.encodeWithSelector(IVault.VaultNoExit.selector, owner));
        vault.completeExit(owner);
    }

    function test_exit_completes_at_once_when_payout_flows() public {
        vm.prank(owner);
        vault.queueExit(7);
        vault.completeExit(owner);
        assertEq(ftns.balanceOf(owner), 7);
    }

    function test_exit_refuses_a_second_one_nothing_and_too_much() public {
        vm.startPrank(owner);
        _expect(abi.encodeWithSelector(IVault.VaultZeroAmount.selector));
        vault.queueExit(0);
        _expect(abi.encodeWithSelector(IVault.VaultFreeTooLow.selector, RICHES, uint256(RICHES) + 1));
        vault.queueExit(RICHES + 1);
        vault.queueExit(1);
        _expect(abi.encodeWithSelector(IVault.VaultExitPending.selector, START + EXIT_DELAY));
        vault.queueExit(1);
        vm.stopPrank();
    }

    function testFuzz_any_free_balance_leaves_within_a_day(uint96 amount, uint40 halt, uint8 flow) public {
        amount = uint96(_within(amount, 1, RICHES));
        _trip(uint8(_within(flow, 1, 3)), uint40(_within(halt, 0, 90 days)));
        vm.prank(owner);
        vault.queueExit(amount);
        vm.warp(START + 24 hours);
        vault.completeExit(owner);
        assertEq(ftns.balanceOf(owner), amount);
    }

    // ── movements, TOKEN-4 and TOKEN-5 ───────────────────────────────────────────────────────────────────────────────

    function test_move_splits_over_module_account_and_pile() public {
        IVault.Credit[] memory credits = new IVault.Credit[](4);
        credits[0] = IVault.Credit(payee, 3);
        credits[1] = IVault.Credit(address(royalties), 2);
        credits[2] = IVault.Credit(address(0), 1);
        vm.expectEmit(address(vault));
        emit IVault.VaultMoved(escrow, owner, payee, 3);
        vm.expectEmit(address(vault));
        emit IVault.VaultMoved(escrow, owner, address(royalties), 2);
        vm.expectEmit(address(vault));
        emit IVault.VaultMoved(escrow, owner, address(0), 1);
        vm.prank(escrow);
        vault.move(owner, credits);
        assertEq(vault.freeOf(owner), RICHES - 6);
        assertEq(vault.freeOf(payee), 3);
        assertEq(vault.heldBy(address(royalties)), 2);
        assertEq(vault.freeOf(address(royalties)), 0);
        assertEq(vault.pile(), 1);
    }

    function test_move_to_oneself_changes_nothing() public {
        _moveAs(escrow, owner, owner, 5);
        assertEq(vault.freeOf(owner), RICHES);
        _moveAs(escrow, owner, escrow, 5);
        _moveAs(escrow, escrow, escrow, 5);
        assertEq(vault.heldBy(escrow), 5);
    }

    function test_move_refuses_who_is_no_module() public {
        _expect(abi.encodeWithSelector(IVault.VaultNotModule.selector, stranger));
        _moveAs(stranger, owner, stranger, 1);
    }

    function test_move_refuses_more_than_is_held_or_free() public {
        _moveAs(escrow, owner, escrow, 5);
        _expect(abi.encodeWithSelector(IVault.VaultHeldTooLow.selector, uint96(5), uint256(6)));
        _moveAs(escrow, escrow, payee, 6);
        _expect(abi.encodeWithSelector(IVault.VaultFreeTooLow.selector, RICHES - 5, uint256(RICHES) - 4));
        _moveAs(escrow, owner, escrow, RICHES - 4);
        _moveAs(escrow, escrow, payee, 5);
        assertEq(vault.freeOf(payee), 5);
    }

    /// The sum is taken in 256 bits, so credits cannot wrap around into a small debit.
    function test_move_refuses_credits_whose_sum_exceeds_96_bits() public {
        IVault.Credit[] memory credits = new IVault.Credit[](2);
        credits[0] = IVault.Credit(stranger, type(uint96).max);
        credits[1] = IVault.Credit(stranger, 1);
        _expect(abi.encodeWithSelector(IVault.VaultFreeTooLow.selector, RICHES, uint256(1) << 96));
        vm.prank(escrow);
        vault.move(owner, credits);
    }

    function testFuzz_move_preserves_the_total(uint96[5] memory amounts, uint8[5] memory receivers) public {
        address[4] memory names = [payee, address(0), address(royalties), stranger];
        IVault.Credit[] memory credits = new IVault.Credit[](5);
        for (uint256 i = 0; i < 5; ++i) {
            credits[i] = IVault.Credit(names[receivers[i] % 4], amounts[i] % (RICHES / 5));
        }
        vm.prank(escrow);
        vault.move(owner, credits);
        uint256 total = uint256(vault.freeOf(owner)) + vault.freeOf(payee) + vault.freeOf(stranger)
            + vault.heldBy(address(royalties)) + vault.pile();
        assertEq(total, ftns.balanceOf(address(vault)));
    }

    // ── the pile ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_burn_pile_burns_all_of_it_once() public {
        _moveAs(escrow, owner, address(0), 5 ether);
        vm.expectEmit(address(vault));
        emit IVault.VaultPileBurnt(5 ether);
        vm.prank(stranger);
        vault.burnPile();
        assertEq(ftns.totalSupply(), SUPPLY - 5 ether);
        assertEq(vault.pile(), 0);
        _expect(abi.encodeWithSelector(IVault.VaultZeroAmount.selector));
        vault.burnPile();
    }

    // ── later modules ────────────────────────────────────────────────────────────────────────────────────────────────

    function _add() private {
        vm.prank(governance);
        vault.addModule(later);
    }

    function test_later_module_pulls_only_after_notice_and_acceptance() public {
        vm.expectEmit(address(vault));
        emit IVault.VaultModuleAdded(later, START + MODULE_NOTICE);
        _add();
        vm.prank(owner);
        vault.acceptModule(later, true);
        vm.warp(START + MODULE_NOTICE - 1);
        assertFalse(vault.isModule(later));
        _expect(abi.encodeWithSelector(IVault.VaultModuleNotReady.selector, START + MODULE_NOTICE));
        _moveAs(later, owner, later, 5);
        vm.warp(START + MODULE_NOTICE);
        assertTrue(vault.isModule(later));
        assertEq(vault.moduleActiveFrom(later), START + MODULE_NOTICE);
        _moveAs(later, owner, later, 5);
        assertEq(vault.heldBy(later), 5);
        _expect(abi.encodeWithSelector(IVault.VaultModuleNotAccepted.selector, stranger, later));
        _moveAs(later, stranger, later, 5);
        vm.prank(owner);
        vault.acceptModule(later, false);
        assertFalse(vault.isAccepted(owner, later));
        _expect(abi.encodeWithSelector(IVault.VaultModuleNotAccepted.selector, owner, later));
        _moveAs(later, owner, later, 5);
    }

    function test_accept_refuses_what_was_never_announced_and_the_core() public {
        _expect(abi.encodeWithSelector(IVault.VaultNotModule.selector, later));
        vault.acceptModule(later, true);
        _expect(abi.encodeWithSelector(IVault.VaultNotModule.selector, escrow));
        vault.acceptModule(escrow, true);
    }

    function test_accept_is_announced() public {
        _add();
        vm.expectEmit(address(vault));
        emit IVault.VaultModuleAcceptanceChanged(owner, later, true);
        vm.prank(owner);
        vault.acceptModule(later, true);
        assertTrue(vault.isAccepted(owner, later));
    }

    /// Announcing somebody's wallet takes nothing from it.
    function test_announced_wallet_keeps_its_free_balance() public {
        vm.prank(governance);
        vault.addModule(payee);
        _fund(payee, 5);
        _moveAs(escrow, owner, payee, 5);
        assertEq(vault.freeOf(payee), 10);
        vm.warp(START + MODULE_NOTICE);
        _moveAs(escrow, owner, payee, 5);
        assertEq(vault.heldBy(payee), 5);
        vm.startPrank(payee);
        vault.move(payee, _credits(stranger, 5));
        vault.withdraw(10, payee);
        vm.stopPrank();
        assertEq(ftns.balanceOf(payee), 10);
    }

    function test_retired_module_pays_out_and_pulls_nothing() public {
        _moveAs(escrow, owner, escrow, 5);
        vm.expectEmit(address(vault));
        emit IVault.VaultModuleRetired(escrow);
        vm.prank(governance);
        vault.retireModule(escrow);
        assertTrue(vault.isRetired(escrow));
        _expect(abi.encodeWithSelector(IVault.VaultModuleIsRetired.selector, escrow));
        _moveAs(escrow, owner, escrow, 1);
        _moveAs(escrow, escrow, payee, 5);
        assertEq(vault.freeOf(payee), 5);
        _expect(abi.encodeWithSelector(IVault.VaultModuleIsRetired.selector, escrow));
        vm.prank(governance);
        vault.retireModule(escrow);
    }

    function test_governance_alone_adds_and_retires() public {
        bytes memory refused = abi.encodeWithSelector(IGoverned.GovernedNotGovernance.selector, stranger);
        vm.startPrank(stranger);
        _expect(refused);
        vault.addModule(later);
        _expect(refused);
        vault.retireModule(escrow);
        _expect(refused);
        vault.setExitAllowance(1);
        vm.stopPrank();
    }

    function test_add_refuses_what_is_or_was_a_module_and_nobody() public {
        _add();
        vm.startPrank(governance);
        _expect(abi.encodeWithSelector(IVault.VaultModuleKnown.selector, later));
        vault.addModule(later);
        _expect(abi.encodeWithSelector(IVault.VaultModuleKnown.selector, escrow));
        vault.addModule(escrow);
        vault.retireModule(later);
        _expect(abi.encodeWithSelector(IVault.VaultModuleKnown.selector, later));
        vault.addModule(later);
        _expect(abi.encodeWithSelector(IVault.VaultNotModule.selector, address(0)));
        vault.addModule(address(0));
        _expect(abi.encodeWithSelector(IVault.VaultNotModule.selector, stranger));
        vault.retireModule(stranger);
        vm.stopPrank();
    }

    function test_exit_allowance_moves_within_its_bounds() public {
        vm.startPrank(governance);
        vm.expectEmit(address(vault));
        emit IGoverned.ParameterChanged("exitAllowance", EXIT_ALLOWANCE, 0);
        vault.setExitAllowance(0);
        vault.setExitAllowance(1000 ether);
        _expect(
            abi.encodeWithSelector(
                IGoverned.GovernedValueAboveMax.selector, bytes32("exitAllowance"), 1000 ether + 1, 1000 ether
            )
        );
        vault.setExitAllowance(1000 ether + 1);
        vm.stopPrank();
    }
}
