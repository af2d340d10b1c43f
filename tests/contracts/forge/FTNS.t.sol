// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {FTNS} from "../../../contracts/token/FTNS.sol";
import {IFTNS} from "../../../contracts/token/IFTNS.sol";
import {ForgeTest} from "./Vm.sol";

contract FTNSTest is ForgeTest {
    uint256 private constant SUPPLY = 1e27;
    uint256 private constant HOLDER_KEY = 0xA11CE;
    uint256 private constant AMOUNT = 5 ether;
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );

    address private holder = vm.addr(HOLDER_KEY);
    address private other = address(0x07);
    FTNS private ftns;

    function setUp() public {
        vm.warp(1_800_000_000);
        ftns = _deploy(SUPPLY - 1, 1);
    }

    function _deploy(uint256 first, uint256 second) private returns (FTNS) {
        address[] memory recipients = new address[](2);
        uint256[] memory amounts = new uint256[](2);
        (recipients[0], recipients[1]) = (holder, other);
        (amounts[0], amounts[1]) = (first, second);
        return new FTNS(recipients, amounts);
    }

    // ── TOKEN-1 ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_deploy_hands_out_the_supply() public view {
        assertEq(ftns.totalSupply(), SUPPLY);
        assertEq(ftns.balanceOf(holder), SUPPLY - 1);
        assertEq(ftns.balanceOf(other), 1);
        assertEq(bytes(ftns.symbol()), bytes("FTNS"));
        assertLe(address(ftns).code.length, 24_576);
    }

    function test_deploy_refuses_one_wei_too_few_and_too_many() public {
        _expect(abi.encodeWithSelector(IFTNS.FTNSSupplyMismatch.selector, SUPPLY - 1, SUPPLY));
        _deploy(SUPPLY - 2, 1);
        _expect(abi.encodeWithSelector(IFTNS.FTNSSupplyMismatch.selector, SUPPLY + 1, SUPPLY));
        _deploy(SUPPLY - 1, 2);
    }

    function test_deploy_refuses_lists_of_different_lengths() public {
        _expect(abi.encodeWithSelector(IFTNS.FTNSAllocationMismatch.selector, 1, 2));
        new FTNS(new address[](1), new uint256[](2));
    }

    function testFuzz_burn_lowers_the_supply_for_ever(uint256 amount) public {
        amount = _within(amount, 0, SUPPLY - 1);
        vm.prank(holder);
        ftns.burn(amount);
        assertEq(ftns.totalSupply(), SUPPLY - amount);
        assertEq(ftns.balanceOf(holder), SUPPLY - 1 - amount);
    }

    function test_burn_refuses_more_than_the_balance() public {
        _expect(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, other, 1, 2));
        vm.prank(other);
        ftns.burn(2);
    }

    // ── TOKEN-2 ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_authorisation_works_once() public {
        bytes32 nonce = _nonce(7, 0);
        bytes memory signature = _authorise(other, 0, block.timestamp + 1, nonce);
        vm.prank(other);
        ftns.receiveWithAuthorization(holder, other, AMOUNT, 0, block.timestamp + 1, nonce, signature);
        assertEq(ftns.balanceOf(other), AMOUNT + 1);
        assertTrue(ftns.authorizationState(holder, nonce));
        _expect(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, holder, uint256(_nonce(7, 1))));
        vm.prank(other);
        ftns.receiveWithAuthorization(holder, other, AMOUNT, 0, block.timestamp + 1, nonce, signature);
    }

    function test_authorisation_works_only_within_its_times() public {
        uint256 validAfter = block.timestamp + 10;
        uint256 validBefore = block.timestamp + 20;
        bytes memory signature = _authorise(other, validAfter, validBefore, _nonce(7, 0));
        bytes memory refused =
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, validAfter, validBefore);
        uint256[2] memory outside = [validAfter, validBefore];
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(outside[i]);
            _expect(refused);
            vm.prank(other);
            ftns.receiveWithAuthorization(holder, other, AMOUNT, validAfter, validBefore, _nonce(7, 0), signature);
        }
        vm.warp(validBefore - 1);
        vm.prank(other);
        ftns.receiveWithAuthorization(holder, other, AMOUNT, validAfter, validBefore, _nonce(7, 0), signature);
        assertEq(ftns.balanceOf(other), AMOUNT + 1);
    }

    function test_receive_refuses_a_caller_who_is_not_the_payee() public {
        bytes memory signature = _authorise(other, 0, block.timestamp + 1, _nonce(7, 0));
        _expect(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, other));
        ftns.receiveWithAuthorization(holder, other, AMOUNT, 0, block.timestamp + 1, _nonce(7, 0), signature);
    }

    function test_receive_refuses_another_amount_than_signed() public {
        bytes memory signature = _authorise(other, 0, block.timestamp + 1, _nonce(7, 0));
        _expect(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        vm.prank(other);
        ftns.receiveWithAuthorization(holder, other, AMOUNT + 1, 0, block.timestamp + 1, _nonce(7, 0), signature);
    }

    function test_permit_approves_once() public {
        uint256 deadline = block.timestamp;
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                holder,
                other,
                AMOUNT,
                ftns.nonces(holder),
                deadline
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(HOLDER_KEY, _typedDigest("FTNS", address(ftns), structHash));
        ftns.permit(holder, other, AMOUNT, deadline, v, r, s);
        assertEq(ftns.allowance(holder, other), AMOUNT);
        assertEq(ftns.nonces(holder), 1);
        vm.warp(deadline + 1);
        _expect(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, deadline));
        ftns.permit(holder, other, AMOUNT, deadline, v, r, s);
    }

    /// A nonce with key zero uses up the sequence of permits.
    function test_authorisation_with_key_zero_shares_the_permits_sequence() public {
        bytes memory signature = _authorise(other, 0, block.timestamp + 1, _nonce(0, 0));
        vm.prank(other);
        ftns.receiveWithAuthorization(holder, other, AMOUNT, 0, block.timestamp + 1, _nonce(0, 0), signature);
        assertEq(ftns.nonces(holder), 1);
    }

    function _nonce(uint192 key, uint64 sequence) private pure returns (bytes32) {
        return bytes32(uint256(key) << 64 | sequence);
    }

    function _authorise(address to, uint256 validAfter, uint256 validBefore, bytes32 nonce)
        private
        view
        returns (bytes memory)
    {
        bytes memory fields = abi.encode(RECEIVE_TYPEHASH, holder, to, AMOUNT, validAfter, validBefore, nonce);
        return _sign(HOLDER_KEY, _typedDigest("FTNS", address(ftns), keccak256(fields)));
    }
}
