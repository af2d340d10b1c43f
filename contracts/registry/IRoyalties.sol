// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IProvenance} from "./IProvenance.sol";

/// @title IRoyalties
/// @notice What the use of records earned, and who may take it.
/// @dev Payers book a payment with `accrue` and move the money in the same transaction.
/// Warning: `usesOf` is a raw count that anybody can raise by buying from oneself; nothing is paid by it.
interface IRoyalties is IERC2981 {
    /// @notice One thing to claim: the part of ancestor `index` of `record`; an index behind the last is the record
    /// itself.
    struct Claim {
        bytes32 record;
        IProvenance.Share[] ancestors;
        uint256 index;
    }

    /// @notice Emitted when a payment earned `record`, with all its ancestors, `amount`.
    event RoyaltyAccrued(bytes32 indexed record, uint96 amount);

    /// @notice Emitted when the part of `beneficiary` in what `record` earned was paid to its present owner `to`.
    event RoyaltyClaimed(bytes32 indexed record, bytes32 indexed beneficiary, address indexed to, uint96 amount);

    /// @notice Thrown when `caller` is none of the contracts that pay royalties.
    error RoyaltiesNotPayer(address caller);

    /// @notice Thrown when a payment names more records than it may.
    error RoyaltiesTooManyRecords(uint256 count, uint256 max);

    /// @notice Thrown when the royalties of all records together are too high for anything to be left.
    error RoyaltiesStackTooHigh(uint256 total, uint16 max);

    /// @notice Thrown when a record was never registered.
    error RoyaltiesRecordUnknown(bytes32 record);

    /// @notice Thrown when the ancestors given for a record are not the registered ones.
    error RoyaltiesAncestorsMismatch(bytes32 record);

    /// @notice Thrown when a record has no ancestor with this index.
    error RoyaltiesIndexOutOfRange(uint256 index, uint256 count);

    /// @notice Thrown when everything due to the ancestor with this index was paid.
    error RoyaltiesNothingToClaim(bytes32 record, uint256 index);

    /// @notice Books a payment of `price` for the use of `records`. Only payers may call.
    /// @dev The payer moves `royalty` to this contract, `fee` to the burn pile and the rest to the payee, in one
    /// movement.
    function accrue(bytes32[] calldata records, uint96 price) external returns (uint96 fee, uint96 royalty);

    /// @notice Pays the present owner of ancestor `index` of `record` what it is due.
    function claim(bytes32 record, IProvenance.Share[] calldata ancestors, uint256 index) external;

    /// @notice Pays several at once; those with nothing due are passed over, so nobody can spoil a batch by claiming
    /// first.
    function claimMany(Claim[] calldata claims) external;

    /// @notice Sets the part of every price that is burnt. Only governance.
    function setFeeBps(uint16 bps) external;

    /// @notice Reverts unless a payment for `records` can be booked, now and, because royalties only fall, ever after.
    function requirePayable(bytes32[] calldata records) external view;

    /// @notice What `record` earned so far, its ancestors' parts included.
    function accruedFor(bytes32 record) external view returns (uint96);

    /// @notice What was burnt of payments for `record`.
    function burntFor(bytes32 record) external view returns (uint96);

    /// @notice How many payments named `record`.
    function usesOf(bytes32 record) external view returns (uint64);

    /// @notice What `claim` with the same arguments would pay.
    function claimable(bytes32 record, IProvenance.Share[] calldata ancestors, uint256 index)
        external
        view
        returns (uint96);

    /// @notice The part of every price that is burnt, in basis points.
    function feeBps() external view returns (uint16);
}
