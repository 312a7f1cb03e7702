// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Head, Status} from "../src/CodebookHead.sol";
import {DataOracle} from "../src/DataOracle.sol";
import {AggregatorV3Interface} from "../src/interfaces/IAggregatorV3.sol";
import {IDataOracle} from "../src/interfaces/IDataOracle.sol";
import {IPrototypeBuffer} from "../src/interfaces/IPrototypeBuffer.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {OutsideFeed} from "./utils/OutsideFeed.sol";
import {Test} from "./utils/Test.sol";

/// @title A reader as Chainlink's documentation recommends to write one.
contract Consumer {
    AggregatorV3Interface private immutable _feed;
    uint256 private immutable _heartbeat;

    constructor(AggregatorV3Interface feed, uint256 heartbeat) {
        (_feed, _heartbeat) = (feed, heartbeat);
    }

    function price() external view returns (int256) {
        (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 inRound) =
            _feed.latestRoundData();
        require(startedAt != 0 && updatedAt != 0 && inRound >= id && id != 0, "incomplete");
        require(block.timestamp - updatedAt <= _heartbeat, "stale");
        return answer;
    }

    function history(uint80 id) external view returns (int256 answer) {
        (, answer,,,) = _feed.getRoundData(id);
    }

    /// @dev As a time-weighted average walks the rounds back.
    function walkBack(uint256 since) external view returns (uint256 rounds) {
        (uint80 id,,, uint256 updatedAt,) = _feed.latestRoundData();
        uint256 previous = updatedAt;
        while (id > 1 && updatedAt > since) {
            --id;
            (,,, updatedAt,) = _feed.getRoundData(id);
            require(updatedAt <= previous, "timestamps not monotonic");
            previous = updatedAt;
            ++rounds;
        }
    }
}

/// @title What reporters, submitters and readers may try against the oracle.
contract OracleAttackTest is Test {
    bytes32 private constant FEED = "t";
    int192 private constant LIE = 1_000_000_000;

    DataOracle private oracle;
    AggregatorV3Interface private aggregator;
    Consumer private consumer;
    address private owner = address(0x0A11);
    uint256[] private keys;

    function setUp() public {
        vm.warp(1_000_000);
    }

    /// @dev Keys in the order of round 1; later rounds of these tests rotate by hand.
    function _open(uint256 count, uint8 quorum, uint8 faults) private {
        oracle = new DataOracle(owner, 2);
        delete keys;
        address[] memory accounts = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            keys.push(uint256(keccak256(abi.encode("r", i))));
            accounts[i] = vm.addr(keys[i]);
        }
        vm.startPrank(owner);
        oracle.setReporters(accounts, true, quorum, faults);
        aggregator =
            AggregatorV3Interface(oracle.addFeed(FEED, "C", 2, 3600, -type(int128).max, 1e12));
        vm.stopPrank();
        consumer = new Consumer(aggregator, 3600);
    }

    function _report(uint64 round, uint256 place, int192 answer, uint256 observedAt)
        private
        view
        returns (IDataOracle.Report memory)
    {
        uint256 key = keys[(place + round) % keys.length];
        uint64 time = uint64(observedAt);
        bytes32 hash = keccak256(abi.encode(oracle.ANSWER_TYPEHASH(), FEED, round, answer, time));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", oracle.domainSeparator(), hash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return IDataOracle.Report(answer, time, abi.encodePacked(r, s, v));
    }

    function _row(uint64 round, uint256 count, int192 answer)
        private
        view
        returns (IDataOracle.Report[] memory reports)
    {
        reports = new IDataOracle.Report[](count);
        for (uint256 i = 0; i < count; ++i) {
            reports[i] = _report(round, i, answer, block.timestamp);
        }
    }

    function test_OneLiarOfThreeDoesNotSetTheAnswer() public {
        _open(3, 3, 1);
        IDataOracle.Report[] memory reports = _row(1, 3, 2150);
        reports[1] = _report(1, 1, LIE, block.timestamp);
        vm.prank(address(0xBAD));
        oracle.submitAnswer(FEED, reports);
        vm.assertEq(consumer.price(), 2150);
        vm.expectPartialRevert(IDataOracle.DataOracleBadQuorum.selector);
        vm.prank(owner); // a quorum of two, half of which sets any answer, bears no liar
        oracle.setReporters(new address[](0), true, 2, 1);
    }

    function test_HalfOfAnEvenQuorumDoesNotRaiseTheAnswer() public {
        _open(7, 4, 1);
        IDataOracle.Report[] memory reports = _row(1, 4, 2150);
        reports[0] = _report(1, 0, LIE, block.timestamp);
        reports[3] = _report(1, 3, LIE, block.timestamp);
        oracle.submitAnswer(FEED, reports);
        vm.assertEq(consumer.price(), 2150);
    }

    function test_TheSubmitterDoesNotChooseTheReports() public {
        _open(5, 3, 1);
        int192[5] memory values = [int192(2000), 2010, 2020, 2030, 9000];
        IDataOracle.Report[] memory reports = new IDataOracle.Report[](3);
        for (uint256 i = 0; i < 3; ++i) {
            reports[i] = _report(1, i + 2, values[i + 2], block.timestamp);
        }
        vm.expectPartialRevert(IDataOracle.DataOracleLeavesOutReporters.selector);
        oracle.submitAnswer(FEED, reports);
        for (uint256 i = 0; i < 3; ++i) {
            reports[i] = _report(1, i, values[i], block.timestamp);
        }
        oracle.submitAnswer(FEED, reports);
        vm.assertEq(consumer.price(), 2010); // of the round's own three
    }

    function test_OneReporterDoesNotMakeAnAnswerStale() public {
        _open(5, 3, 1);
        IDataOracle.Report[] memory reports = _row(1, 3, 2150);
        reports[0] = _report(1, 0, 2150, block.timestamp - 3600);
        oracle.submitAnswer(FEED, reports);
        vm.warp(block.timestamp + 3600);
        (int256 answer,) = oracle.read(FEED);
        vm.assertEq(answer, 2150);
        vm.assertEq(consumer.price(), 2150);
    }

    function test_TimestampsDoNotRunBackwards() public {
        _open(3, 3, 1);
        oracle.submitAnswer(FEED, _row(1, 3, 1));
        uint256 now_ = block.timestamp;
        IDataOracle.Report[] memory reports = new IDataOracle.Report[](3);
        for (uint256 i = 0; i < 3; ++i) {
            reports[i] = _report(2, i, 2, now_ - 3000);
        }
        vm.expectPartialRevert(IDataOracle.DataOracleTimeRunsBackwards.selector);
        oracle.submitAnswer(FEED, reports);
        vm.warp(now_ + 10);
        oracle.submitAnswer(FEED, _row(2, 3, 2));
        vm.assertEq(consumer.walkBack(1), 1);
    }

    function test_SetSourceTakesTheFeedsOwnAddressAlong() public {
        _open(3, 3, 1);
        oracle.submitAnswer(FEED, _row(1, 3, 2150));
        OutsideFeed eight = new OutsideFeed();
        eight.setDecimals(8);
        vm.expectPartialRevert(IDataOracle.DataOracleWrongDecimals.selector);
        vm.prank(owner);
        oracle.setSource(FEED, eight);
        OutsideFeed two = new OutsideFeed();
        two.set(7, 3000, block.timestamp, 7);
        vm.prank(owner);
        oracle.setSource(FEED, two);
        (int256 viaOracle,) = oracle.read(FEED);
        vm.assertEq(viaOracle, 3000);
        vm.assertEq(consumer.price(), 3000);
        vm.assertEq(consumer.history(7), 3000);
    }

    function test_AReaderOfChainlinksFeedsReadsOurs() public {
        _open(3, 3, 1);
        for (uint64 round = 1; round < 6; ++round) {
            oracle.submitAnswer(FEED, _row(round, 3, int192(int64(round)) * 10));
            vm.warp(block.timestamp + 60);
        }
        vm.assertEq(consumer.price(), 50);
        vm.assertEq(consumer.history(3), 30);
        vm.assertEq(consumer.walkBack(1), 4);
    }

    function test_ARequestForNoFeedIsRefused() public {
        _open(3, 3, 1);
        vm.expectPartialRevert(IDataOracle.DataOracleUnknownFeed.selector);
        oracle.request("no such feed at all");
        vm.prank(owner);
        oracle.setRequestPrice(1);
        vm.expectPartialRevert(IDataOracle.DataOracleWrongPrice.selector);
        oracle.request(FEED);
    }

    function test_ReplayElsewhereIsRefused() public {
        _open(3, 3, 1);
        IDataOracle.Report[] memory reports = _row(1, 3, 1);
        _open(3, 3, 1);
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector);
        oracle.submitAnswer(FEED, reports);
    }
}

/// @title What gateways and owners may try against the buffer.
contract BufferAttackTest is Test {
    PrototypeBuffer private buffer;
    address private owner = address(0x0A11);
    address private gateway = address(1);

    function setUp() public {
        buffer = new PrototypeBuffer(owner, bytes32(0), 1, 2);
        address[] memory one = new address[](1);
        one[0] = gateway;
        vm.prank(owner);
        buffer.addGateways(one);
    }

    function _commit(bytes memory book, uint256 count) private {
        Head head = nextHead(buffer, gateway, bytes25(keccak256(book)), count);
        vm.prank(gateway);
        buffer.commit(head, hex"00");
    }

    function test_RenouncingWhilePausedIsRefused() public {
        vm.startPrank(owner);
        buffer.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        buffer.renounceOwnership();
        buffer.unpause();
        buffer.renounceOwnership();
        vm.stopPrank();
        vm.assertEq(buffer.owner(), address(0));
        _commit(hex"00010000010000", 1);
    }

    function test_ACheckpointOfGarbageRecordsIsRefused() public {
        bytes memory garbage = hex"0009c800010000" hex"0009c800010000";
        _commit(garbage, 2);
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferMalformedRecord.selector);
        buffer.checkpoint(gateway, garbage);
    }

    function test_AnOldSnapshotSaysSoAndARemovedOwnersIsRefused() public {
        bytes memory book = hex"00010000010000";
        _commit(book, 1);
        buffer.checkpoint(gateway, book);
        for (uint256 i = 1; i < 50; ++i) {
            _commit(abi.encode(i), 1);
        }
        (IPrototypeBuffer.Age memory age, IPrototypeBuffer.Record memory found) =
            buffer.record(gateway, 0, 0);
        vm.assertEq(abi.encode(age), abi.encode(1, 50, Status.Active));
        vm.assertEq(found.id, 1);
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferStaleCheckpoint.selector);
        buffer.record(gateway, 0, 50);
        vm.prank(owner);
        buffer.removeGateway(gateway);
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferNotAGateway.selector);
        buffer.record(gateway, 0, 0);
    }
}
