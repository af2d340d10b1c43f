// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Channels} from "../../../contracts/channel/Channels.sol";
import {IChannels} from "../../../contracts/channel/IChannels.sol";
import {IProvenance, RecordKinds} from "../../../contracts/registry/IProvenance.sol";
import {IRoyalties} from "../../../contracts/registry/IRoyalties.sol";
import {Provenance} from "../../../contracts/registry/Provenance.sol";
import {Royalties} from "../../../contracts/registry/Royalties.sol";
import {IHaltable} from "../../../contracts/safety/IHaltable.sol";
import {FTNS} from "../../../contracts/token/FTNS.sol";
import {IFTNS} from "../../../contracts/token/IFTNS.sol";
import {IVault} from "../../../contracts/token/IVault.sol";
import {Vault} from "../../../contracts/token/Vault.sol";
import {ForgeTest} from "./Vm.sol";

/// @notice The contracts that hold and move money, deployed like everything else: addresses known first, partners
/// final. KillSwitch, governance and Escrow are accounts that the tests act for.
abstract contract MoneyWorld is ForgeTest {
    // ── actors ───────────────────────────────────────────────────────────────────────────────────────────────────────

    uint256 internal constant OWNER_KEY = 0xA11CE;
    uint256 internal constant SIGNER_KEY = 0x516;
    uint256 internal constant STRANGER_KEY = 0x5E;

    address internal owner = vm.addr(OWNER_KEY);
    address internal signer = vm.addr(SIGNER_KEY);
    address internal stranger = vm.addr(STRANGER_KEY);
    address internal payer = owner;
    address internal payee = address(0xFA1EE);
    address internal escrow = address(0xE5C);
    address internal reservations = address(0x4E5);
    address internal governance = address(0x601);
    address internal killSwitch = address(0x5107);

    // ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────

    uint256 internal constant SUPPLY = 1e27;
    uint96 internal constant EXIT_ALLOWANCE = 1000 ether;
    uint40 internal constant EXIT_DELAY = 24 hours;
    uint40 internal constant MODULE_NOTICE = 14 days;
    uint40 internal constant COMMIT_MIN = 12;
    uint40 internal constant COMMIT_MAX = 1 days;
    uint16 internal constant ROYALTY_MAX_BPS = 3000;
    uint16 internal constant ANCESTORS_CAP = 5000;
    uint16 internal constant FEE_BPS = 200;
    uint16 internal constant STACK_MAX_BPS = 3000;
    uint32 internal constant DELAY_MIN = 1 hours;
    uint32 internal constant DELAY_MAX = 30 days;
    uint40 internal constant START = 1_800_000_000;
    uint96 internal constant RICHES = 1_000_000 ether;

    uint8 internal constant INTAKE = 1;
    uint8 internal constant PAYOUT = 2;
    uint8 internal constant ADMIN = 3;

    // ── contracts ────────────────────────────────────────────────────────────────────────────────────────────────────

    FTNS internal ftns;
    Vault internal vault;
    Provenance internal provenance;
    Royalties internal royalties;
    Channels internal channels;

    function _deploy() internal {
        vm.warp(START);
        uint256 nonce = vm.getNonce(address(this));
        address vaultAt = vm.computeCreateAddress(address(this), nonce + 1);
        address provenanceAt = vm.computeCreateAddress(address(this), nonce + 2);
        address royaltiesAt = vm.computeCreateAddress(address(this), nonce + 3);
        address channelsAt = vm.computeCreateAddress(address(this), nonce + 4);

        address[] memory recipients = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (recipients[0], amounts[0]) = (address(this), SUPPLY);
        ftns = new FTNS(recipients, amounts);
        vault = new Vault(
            IFTNS(address(ftns)),
            governance,
            killSwitch,
            _modules(royaltiesAt, channelsAt),
            EXIT_ALLOWANCE,
            EXIT_DELAY,
            MODULE_NOTICE
        );
        provenance = new Provenance(governance, killSwitch, COMMIT_MIN, COMMIT_MAX, ROYALTY_MAX_BPS, ANCESTORS_CAP);
        royalties = new Royalties(
            IVault(vaultAt),
            IProvenance(provenanceAt),
            escrow,
            channelsAt,
            reservations,
            governance,
            killSwitch,
            FEE_BPS,
            STACK_MAX_BPS
        );
        channels = new Channels(IVault(vaultAt), IRoyalties(royaltiesAt), killSwitch, DELAY_MIN, DELAY_MAX);
        assertEq(address(vault), vaultAt);
        assertEq(address(channels), channelsAt);

        _fund(owner, RICHES);
        _fund(stranger, RICHES);
    }

    function _modules(address royaltiesAt, address channelsAt) internal view returns (address[] memory modules) {
        modules = new address[](5);
        // The second is a contract that is not deployed.
        modules[0] = escrow;
        modules[2] = royaltiesAt;
        modules[3] = channelsAt;
        modules[4] = reservations;
    }

    // ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────

    function _fund(address account, uint96 amount) internal {
        ftns.approve(address(vault), amount);
        vault.deposit(account, amount);
    }

    function _credits(address to, uint96 amount) internal pure returns (IVault.Credit[] memory credits) {
        credits = new IVault.Credit[](1);
        credits[0] = IVault.Credit(to, amount);
    }

    function _moveAs(address module, address from, address to, uint96 amount) internal {
        vm.prank(module);
        vault.move(from, _credits(to, amount));
    }

    // ── halts, as the KillSwitch keeps them ──────────────────────────────────────────────────────────────────────────

    /// A trip of `flow` for `duration`: it starts now or where the present halt ends, and PAYOUT takes INTAKE along.
    function _trip(uint8 flow, uint40 duration) internal {
        IHaltable.Halts memory h = _tripped(vault.halts(), flow, duration);
        vm.startPrank(killSwitch);
        vault.setHalts(h);
        royalties.setHalts(h);
        channels.setHalts(h);
        vm.stopPrank();
    }

    function _tripped(IHaltable.Halts memory h, uint8 flow, uint40 duration)
        internal
        view
        returns (IHaltable.Halts memory)
    {
        uint40 present = uint40(vm.getBlockTimestamp());
        if (flow == ADMIN) {
            h.adminUntil = _later(present, h.adminUntil) + duration;
            return h;
        }
        if (flow == PAYOUT) {
            if (present >= h.payoutUntil) {
                h.payoutSpent += h.payoutUntil - h.payoutFrom;
                h.payoutFrom = present;
            }
            h.payoutUntil = _later(present, h.payoutUntil) + duration;
        }
        if (present >= h.intakeUntil) {
            h.intakeFrom = present;
        }
        h.intakeUntil =
            flow == PAYOUT ? _later(h.intakeUntil, h.payoutUntil) : _later(present, h.intakeUntil) + duration;
        return h;
    }

    function _later(uint40 a, uint40 b) private pure returns (uint40) {
        return a > b ? a : b;
    }

    // ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function _registration(bytes32 digest, uint16 royaltyBps) internal view returns (IProvenance.Registration memory) {
        return IProvenance.Registration(RecordKinds.MODEL, digest, owner, royaltyBps, 0);
    }

    /// Announced and registered by `owner`, `COMMIT_MIN` later.
    function _register(IProvenance.Registration memory registration, IProvenance.Parent[] memory parents)
        internal
        returns (bytes32 recordId)
    {
        _announce(registration);
        vm.warp(vm.getBlockTimestamp() + COMMIT_MIN);
        vm.prank(owner);
        return provenance.register(registration, parents, bytes32(0));
    }

    function _register(bytes32 digest, uint16 royaltyBps) internal returns (bytes32) {
        return _register(_registration(digest, royaltyBps), new IProvenance.Parent[](0));
    }

    function _announce(IProvenance.Registration memory registration) internal returns (bytes32 commitment) {
        commitment = keccak256(abi.encode(registration, bytes32(0), owner));
        vm.prank(owner);
        provenance.commit(commitment);
    }

    // ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _terms() internal view returns (IChannels.ChannelTerms memory terms) {
        terms.payer = payer;
        terms.payee = payee;
        terms.signer = signer;
        terms.settlerFee = 1 ether;
        terms.closeDelay = 24 hours;
        terms.salt = 1;
    }

    function _open(IChannels.ChannelTerms memory terms, uint96 amount) internal returns (bytes32) {
        vm.prank(terms.payer);
        return channels.open(terms, amount);
    }

    function _voucher(uint96 cumulative) internal pure returns (IChannels.Voucher memory) {
        return IChannels.Voucher(uint64(cumulative), cumulative, keccak256(abi.encode(cumulative)));
    }

    function _signVoucher(uint256 key, bytes32 channelId, IChannels.Voucher memory voucher)
        internal
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Voucher(bytes32 channelId,uint64 sequence,uint96 cumulative,bytes32 usageRoot)"),
                channelId,
                voucher.sequence,
                voucher.cumulative,
                voucher.usageRoot
            )
        );
        return _sign(key, _typedDigest("PRSM Channels", address(channels), structHash));
    }

    function _settlement(IChannels.ChannelTerms memory terms, uint96 cumulative)
        internal
        view
        returns (IChannels.Settlement memory)
    {
        IChannels.Voucher memory voucher = _voucher(cumulative);
        return IChannels.Settlement(terms, voucher, _signVoucher(SIGNER_KEY, channels.channelIdOf(terms), voucher));
    }

    function _settleAs(address settler, IChannels.ChannelTerms memory terms, uint96 cumulative) internal {
        IChannels.Settlement memory s = _settlement(terms, cumulative);
        vm.prank(settler);
        channels.settle(s.terms, s.voucher, s.signature);
    }
}
