// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Governed} from "../base/Governed.sol";
import {Haltable} from "../safety/Haltable.sol";
import {IVault} from "../token/IVault.sol";
import {IProvenance} from "./IProvenance.sol";
import {IRoyalties} from "./IRoyalties.sol";
import {Lineage} from "./Lineage.sol";

/// @title Royalties
/// @notice What the use of records earned, and who may take it.
/// @dev Design:
/// - A payment writes one slot a record; what each ancestor is due is worked out when it claims.
/// - What is due belongs to an ancestor's *present* owner, so selling a record sells its income.
/// - A part of every price is burnt: buying from oneself costs that part, whatever the accounts.
/// Trust assumptions: payers move what `accrue` answers in the same transaction; they are fixed at deployment.
contract Royalties is IRoyalties, Governed, Haltable {
    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    struct Earnings {
        uint96 accrued;
        uint96 burnt;
        uint64 uses;
    }

    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    uint256 private constant ONE = 10_000;

    /// @dev The model and three data sets: with more, gas and royalties would eat small payments.
    uint256 private constant MAX_RECORDS = 4;

    /// @dev A twentieth: above it, honest use would move elsewhere before washing stops.
    uint16 private constant MAX_FEE_BPS = 500;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    IVault public immutable vault;
    IProvenance public immutable provenance;
    address public immutable escrow;
    address public immutable channels;
    address public immutable reservations;
    uint16 public immutable stackMaxBps;

    uint16 private _feeBps;
    mapping(bytes32 record => Earnings) private _earnings;
    mapping(bytes32 record => mapping(bytes32 beneficiary => uint96)) private _taken;

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(
        IVault vault_,
        IProvenance provenance_,
        address escrow_,
        address channels_,
        address reservations_,
        address governance_,
        address killSwitch_,
        uint16 feeBps_,
        uint16 stackMaxBps_
    ) Governed(governance_) Haltable(killSwitch_) {
        _requireWithin("feeBps", feeBps_, 0, MAX_FEE_BPS);
        // Half at most, so that with the fee and a settler's twentieth the payee always keeps something.
        _requireWithin("stackMaxBps", stackMaxBps_, 0, ONE / 2);
        vault = vault_;
        provenance = provenance_;
        escrow = escrow_;
        channels = channels_;
        reservations = reservations_;
        stackMaxBps = stackMaxBps_;
        _feeBps = feeBps_;
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IRoyalties
    function requirePayable(bytes32[] calldata records) external view {
        require(records.length <= MAX_RECORDS, RoyaltiesTooManyRecords(records.length, MAX_RECORDS));
        uint256 total = 0;
        for (uint256 i = 0; i < records.length; ++i) {
            (address owner, uint16 bps) = provenance.royaltyOf(records[i]);
            require(owner != address(0), RoyaltiesRecordUnknown(records[i]));
            total += bps;
        }
        require(total <= stackMaxBps, RoyaltiesStackTooHigh(total, stackMaxBps));
    }

    /// @inheritdoc IRoyalties
    function accruedFor(bytes32 record) external view returns (uint96) {
        return _earnings[record].accrued;
    }

    /// @inheritdoc IRoyalties
    function burntFor(bytes32 record) external view returns (uint96) {
        return _earnings[record].burnt;
    }

    /// @inheritdoc IRoyalties
    function usesOf(bytes32 record) external view returns (uint64) {
        return _earnings[record].uses;
    }

    /// @inheritdoc IRoyalties
    function claimable(bytes32 record, IProvenance.Share[] calldata ancestors, uint256 index)
        external
        view
        returns (uint96 amount)
    {
        (, amount) = _due(record, ancestors, index);
    }

    /// @inheritdoc IRoyalties
    function feeBps() external view returns (uint16) {
        return _feeBps;
    }

    /// @inheritdoc IERC2981
    /// @dev The owner, not this contract: a market that pays tokens to a splitter it does not know would strand them.
    function royaltyInfo(uint256 id, uint256 price) external view returns (address receiver, uint256 royaltyAmount) {
        uint16 bps;
        (receiver, bps) = provenance.royaltyOf(bytes32(id));
        royaltyAmount = price * bps / ONE;
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC2981).interfaceId || interfaceId == type(IERC165).interfaceId;
    }

    // ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IRoyalties
    function accrue(bytes32[] calldata records, uint96 price) external returns (uint96 fee, uint96 royalty) {
        require(_isPayer(msg.sender), RoyaltiesNotPayer(msg.sender));
        fee = _part(price, _feeBps);
        for (uint256 i = 0; i < records.length; ++i) {
            (, uint16 bps) = provenance.royaltyOf(records[i]);
            uint96 amount = _part(price, bps);
            Earnings storage earnings = _earnings[records[i]];
            earnings.accrued += amount;
            earnings.burnt += uint96(fee / records.length);
            ++earnings.uses;
            royalty += amount;
            emit RoyaltyAccrued(records[i], amount);
        }
    }

    /// @inheritdoc IRoyalties
    function claim(bytes32 record, IProvenance.Share[] calldata ancestors, uint256 index) external whenFlowing(PAYOUT) {
        IVault.Credit[] memory credits = new IVault.Credit[](1);
        credits[0] = _take(record, ancestors, index);
        require(credits[0].amount > 0, RoyaltiesNothingToClaim(record, index));
        vault.move(address(this), credits);
    }

    /// @inheritdoc IRoyalties
    function claimMany(Claim[] calldata claims) external whenFlowing(PAYOUT) {
        IVault.Credit[] memory credits = new IVault.Credit[](claims.length);
        for (uint256 i = 0; i < claims.length; ++i) {
            credits[i] = _take(claims[i].record, claims[i].ancestors, claims[i].index);
        }
        vault.move(address(this), credits);
    }

    /// @inheritdoc IRoyalties
    function setFeeBps(uint16 bps) external onlyGovernance {
        _feeBps = uint16(_changed("feeBps", _feeBps, bps, 0, MAX_FEE_BPS));
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _isPayer(address caller) private view returns (bool) {
        return caller == escrow || caller == channels || caller == reservations;
    }

    function _part(uint96 whole, uint256 bps) private pure returns (uint96) {
        // At most the whole, because every share in basis points here is at most 10,000.
        return uint96(uint256(whole) * bps / ONE);
    }

    /// @dev Books a claim; a credit of zero, which the Vault passes over, when nothing is due.
    function _take(bytes32 record, IProvenance.Share[] calldata ancestors, uint256 index)
        private
        returns (IVault.Credit memory)
    {
        (bytes32 beneficiary, uint96 amount) = _due(record, ancestors, index);
        if (amount == 0) {
            return IVault.Credit(address(0), 0);
        }
        (address to,) = provenance.royaltyOf(beneficiary);
        _taken[record][beneficiary] += amount;
        emit RoyaltyClaimed(record, beneficiary, to, amount);
        return IVault.Credit(to, amount);
    }

    function _due(bytes32 record, IProvenance.Share[] calldata ancestors, uint256 index)
        private
        view
        returns (bytes32 beneficiary, uint96 amount)
    {
        require(Lineage.hash(ancestors) == provenance.ancestorsHashOf(record), RoyaltiesAncestorsMismatch(record));
        require(index <= ancestors.length, RoyaltiesIndexOutOfRange(index, ancestors.length));
        uint256 share = ONE;
        beneficiary = record;
        if (index < ancestors.length) {
            share = ancestors[index].bps;
            beneficiary = ancestors[index].record;
        } else {
            for (uint256 i = 0; i < ancestors.length; ++i) {
                share -= ancestors[i].bps;
            }
        }
        amount = _part(_earnings[record].accrued, share) - _taken[record][beneficiary];
    }
}
