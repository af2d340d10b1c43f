// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Channels} from "../../../contracts/channel/Channels.sol";
import {IChannels} from "../../../contracts/channel/IChannels.sol";
import {IProvenance} from "../../../contracts/registry/IProvenance.sol";
import {Royalties} from "../../../contracts/registry/Royalties.sol";
import {FTNS} from "../../../contracts/token/FTNS.sol";
import {Vault} from "../../../contracts/token/Vault.sol";
import {MoneyWorld} from "./MoneyWorld.sol";

/// @notice Plays owners, modules, settlers and the KillSwitch at random, mostly so that the call succeeds, and keeps
/// books of its own beside the contracts'. Every action catches a refusal, so the counts tell the truth.
contract MoneyHandler is MoneyWorld {
    // ── books ────────────────────────────────────────────────────────────────────────────────────────────────────────

    uint256 public calls;
    uint256 public successes;

    address[] public owners;
    IChannels.ChannelTerms[] private _opened;
    mapping(bytes32 channelId => uint256) public returnedOf;
    mapping(bytes32 channelId => uint256) public depositedIn;
    uint256 public escrowBook;
    uint256 public royaltiesClaimed;
    uint256 public leastSupply = SUPPLY;
    uint40 public latestActive;
    bool public isClockBroken;

    bytes32 public parent;
    bytes32 public child;
    IProvenance.Share[] private _lineage;

    constructor() {
        _deploy();
        parent = _register("parent", 100);
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](1);
        parents[0] = IProvenance.Parent(parent, 2500, new IProvenance.Share[](0));
        child = _register(_registration("child", 1000), parents);
        _lineage.push(IProvenance.Share(parent, 2500));
        vm.prank(owner);
        provenance.setOwner(parent, payee);
        owners = [owner, stranger, payee, address(0xB0B)];
        latestActive = vault.activeTime();
    }

    // ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function deposit(uint256 who, uint256 amount) external {
        amount = _within(amount, 1, 1000 ether);
        ftns.approve(address(vault), amount);
        try vault.deposit(_owner(who), uint96(amount)) {
            _done(true);
        } catch {
            _done(false);
        }
    }

    function withdraw(uint256 who, uint256 amount) external {
        address account = _owner(who);
        uint96 left = vault.isFlowHalted(PAYOUT) ? vault.exitAllowanceLeft(account) : type(uint96).max;
        amount = _within(amount, 0, _least(vault.freeOf(account), left));
        vm.prank(account);
        try vault.withdraw(uint96(amount), account) {
            _done(true);
        } catch {
            _done(false);
        }
    }

    function exit(uint256 who, uint256 amount) external {
        address account = _owner(who);
        (uint96 queued,) = vault.exitOf(account);
        bool succeeded;
        if (queued > 0) {
            try vault.completeExit(account) {
                succeeded = true;
            } catch {
                succeeded = false;
            }
        } else {
            vm.prank(account);
            try vault.queueExit(uint96(_within(amount, 1, uint256(vault.freeOf(account)) + 1))) {
                succeeded = true;
            } catch {
                succeeded = false;
            }
        }
        _done(succeeded);
    }

    /// Escrow takes from a buyer, and gives to an owner, a module or the pile.
    function escrowMoves(uint256 who, uint256 amount, bool isPulling) external {
        address account = _owner(who);
        if (isPulling) {
            amount = _within(amount, 0, vault.freeOf(account));
        } else {
            amount = _within(amount, 0, vault.heldBy(escrow));
        }
        address to = isPulling ? escrow : (who % 7 == 0 ? address(0) : account);
        vm.prank(escrow);
        try vault.move(isPulling ? account : escrow, _credits(to, uint96(amount))) {
            escrowBook = isPulling ? escrowBook + amount : escrowBook - amount;
            _done(true);
        } catch {
            _done(false);
        }
    }

    function openChannel(uint256 amount, uint256 salt, bool hasRecord) external {
        IChannels.ChannelTerms memory terms = _terms();
        terms.salt = salt;
        if (hasRecord) {
            terms.records = new bytes32[](1);
            terms.records[0] = child;
        }
        amount = _within(amount, 1, 1000 ether);
        vm.prank(payer);
        try channels.open(terms, uint96(amount)) returns (bytes32 channelId) {
            _opened.push(terms);
            depositedIn[channelId] += amount;
            _done(true);
        } catch {
            _done(false);
        }
    }

    function topUp(uint256 index, uint256 amount) external {
        (bool found, IChannels.ChannelTerms memory terms) = _pick(index, false);
        if (!found) {
            return;
        }
        amount = _within(amount, 1, 100 ether);
        vm.prank(stranger);
        try channels.topUp(terms, uint96(amount)) {
            depositedIn[channels.channelIdOf(terms)] += amount;
            _done(true);
        } catch {
            _done(false);
        }
    }

    function settle(uint256 index, uint256 cumulative, bool byPayee) external {
        // One in eight takes any channel, closed ones too.
        (bool found, IChannels.ChannelTerms memory terms) = _pick(index, true);
        if (cumulative % 8 == 0 && _opened.length > 0) {
            terms = _opened[index % _opened.length];
        } else if (!found) {
            return;
        }
        IChannels.Settlement memory s = _settlement(terms, uint96(_within(cumulative, 0, 1200 ether)));
        vm.prank(byPayee ? payee : stranger);
        try channels.settle(s.terms, s.voucher, s.signature) {
            _done(true);
        } catch {
            _done(false);
        }
    }

    function endChannel(uint256 index, uint256 way) external {
        (bool found, IChannels.ChannelTerms memory terms) = _pick(index, true);
        // Two ways of three leave the channel alone, so that most others meet an open one.
        if (!found || way % 3 != 0) {
            return;
        }
        bytes32 channelId = channels.channelIdOf(terms);
        IChannels.Channel memory before = channels.channelOf(channelId);
        bool succeeded;
        if (before.closesAt == 0 && way % 2 == 0) {
            vm.prank(payer);
            try channels.startClose(terms) {
                succeeded = true;
            } catch {
                succeeded = false;
            }
        } else {
            uint96 free = vault.freeOf(payer);
            if (way % 4 == 1) {
                vm.prank(payee);
                try channels.close(terms) {
                    succeeded = true;
                } catch {
                    succeeded = false;
                }
            } else {
                try channels.withdraw(terms) {
                    succeeded = true;
                } catch {
                    succeeded = false;
                }
            }
            returnedOf[channelId] += vault.freeOf(payer) - free;
        }
        _done(succeeded);
    }

    function claim(uint256 index) external {
        bytes32 record = index % 3 == 0 ? parent : child;
        IProvenance.Share[] memory shares = index % 3 == 0 ? new IProvenance.Share[](0) : _lineage;
        index = index % 3 == 0 ? 0 : index % 2;
        uint96 due = royalties.claimable(record, shares, index);
        if (due == 0) {
            return;
        }
        try royalties.claim(record, shares, index) {
            royaltiesClaimed += due;
            _done(true);
        } catch {
            _done(false);
        }
    }

    function burnPile() external {
        if (vault.pile() == 0) {
            return;
        }
        try vault.burnPile() {
            _done(true);
        } catch {
            _done(false);
        }
    }

    function trip(uint256 flow, uint256 duration) external {
        // Short trips, seldom: else everything is refused and nothing is learnt. Not counted, since it cannot fail.
        if (duration % 4 == 0) {
            _trip(uint8(_within(flow, 1, 3)), uint40(_within(duration, 0, 1 hours)));
        }
        _watch();
    }

    function wait(uint256 duration) external {
        vm.warp(vm.getBlockTimestamp() + _within(duration, 0, 6 hours));
        _watch();
    }

    // ── what the invariants ask ──────────────────────────────────────────────────────────────────────────────────────

    function contracts() external view returns (FTNS, Vault, Royalties, Channels, address) {
        return (ftns, vault, royalties, channels, escrow);
    }

    function ownersCount() external view returns (uint256) {
        return owners.length;
    }

    function openedCount() external view returns (uint256) {
        return _opened.length;
    }

    function openedAt(uint256 index) external view returns (bytes32) {
        return channels.channelIdOf(_opened[index]);
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _done(bool succeeded) private {
        ++calls;
        successes += succeeded ? 1 : 0;
        vm.warp(vm.getBlockTimestamp() + 5 minutes);
        _watch();
    }

    function _watch() private {
        uint40 active = vault.activeTime();
        isClockBroken = isClockBroken || active < latestActive || active > vm.getBlockTimestamp()
            || active != channels.activeTime();
        latestActive = active;
        uint256 supply = ftns.totalSupply();
        require(supply <= leastSupply, AssertionFailed("the supply rose"));
        leastSupply = supply;
    }

    /// The first open channel from `index` on, one that is not closing unless that does not matter.
    function _pick(uint256 index, bool orClosing)
        private
        view
        returns (bool found, IChannels.ChannelTerms memory terms)
    {
        for (uint256 i = 0; i < _opened.length && !found; ++i) {
            terms = _opened[(index % _opened.length + i) % _opened.length];
            IChannels.Channel memory channel = channels.channelOf(channels.channelIdOf(terms));
            found = channel.status == IChannels.ChannelStatus.OPEN && (orClosing || channel.closesAt == 0);
        }
    }

    function _owner(uint256 who) private view returns (address) {
        return owners[who % owners.length];
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}

/// forge-config: default.invariant.fail-on-revert = true
contract MoneyInvariantTest is MoneyWorld {
    MoneyHandler private handler;
    address private escrowAt;

    function setUp() public {
        handler = new MoneyHandler();
        (ftns, vault, royalties, channels, escrowAt) = handler.contracts();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// TOKEN-3: every wei that lies in the Vault is somebody's.
    function invariant_vault_holds_what_its_books_say() external view {
        uint256 sum = vault.pile();
        for (uint256 i = 0; i < handler.ownersCount(); ++i) {
            address account = handler.owners(i);
            (uint96 leaving,) = vault.exitOf(account);
            sum += uint256(vault.freeOf(account)) + vault.heldBy(account) + leaving;
        }
        sum += uint256(vault.heldBy(escrowAt)) + vault.heldBy(address(channels)) + vault.heldBy(address(royalties));
        assertEq(ftns.balanceOf(address(vault)), sum);
    }

    /// TOKEN-5: each module's own book sums to what it holds.
    function invariant_modules_hold_what_their_books_say() external view {
        uint256 open = 0;
        for (uint256 i = 0; i < handler.openedCount(); ++i) {
            IChannels.Channel memory channel = channels.channelOf(handler.openedAt(i));
            if (channel.status == IChannels.ChannelStatus.OPEN) {
                open += channel.deposit - channel.settled;
            }
        }
        assertEq(vault.heldBy(address(channels)), open);
        assertEq(vault.heldBy(escrowAt), handler.escrowBook());
        assertEq(
            vault.heldBy(address(royalties)),
            uint256(royalties.accruedFor(handler.parent())) + royalties.accruedFor(handler.child())
                - handler.royaltiesClaimed()
        );
    }

    /// CHANNEL-1 and CHANNEL-4.
    function invariant_channels_return_what_was_not_settled() external view {
        for (uint256 i = 0; i < handler.openedCount(); ++i) {
            bytes32 channelId = handler.openedAt(i);
            IChannels.Channel memory channel = channels.channelOf(channelId);
            assertLe(channel.settled, channel.deposit);
            assertEq(channel.deposit, handler.depositedIn(channelId));
            if (channel.status == IChannels.ChannelStatus.CLOSED) {
                assertEq(uint256(channel.settled) + handler.returnedOf(channelId), channel.deposit);
            } else {
                assertEq(handler.returnedOf(channelId), 0);
            }
        }
    }

    /// HALT-5 where halts exist: one clock, monotone, never ahead.
    function invariant_clock_is_monotone_and_one() external view {
        assertFalse(handler.isClockBroken());
    }

    /// A campaign that is refused all the time would prove nothing.
    function afterInvariant() external view {
        assertGe(handler.successes() * 100, handler.calls() * 60);
    }
}
