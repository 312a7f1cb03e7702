// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {DataOracle} from "../src/DataOracle.sol";
import {AggregatorV3Interface} from "../src/interfaces/IAggregatorV3.sol";
import {IDataOracle} from "../src/interfaces/IDataOracle.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {OutsideFeed} from "./utils/OutsideFeed.sol";
import {Test} from "./utils/Test.sol";

contract DataOracleTest is Test {
    bytes32 private constant FEED = "outdoor temperature";
    uint8 private constant FEATURES = 2;

    DataOracle private oracle;
    AggregatorV3Interface private aggregator;
    address private owner = address(0x0A11);
    uint256[] private keys;

    function setUp() public {
        vm.warp(1_000_000);
        oracle = new DataOracle(owner, FEATURES);
        _makeKeys(5);
        vm.startPrank(owner);
        oracle.setReporters(_accounts(), true, 3, 1);
        aggregator = AggregatorV3Interface(oracle.addFeed(FEED, "degrees C", 2, 3600, -1e12, 1e12));
        vm.stopPrank();
    }

    function _makeKeys(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            keys.push(uint256(keccak256(abi.encode("reporter", i))));
        }
    }

    function _accounts() private view returns (address[] memory accounts) {
        accounts = new address[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            accounts[i] = vm.addr(keys[i]);
        }
    }

    function _sign(uint256 key, bytes32 structHash) private view returns (bytes memory) {
        bytes32 digest =
            keccak256(abi.encodePacked(hex"1901", oracle.domainSeparator(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _report(uint256 key, uint64 roundId, int192 answer, uint64 observedAt)
        private
        view
        returns (IDataOracle.Report memory)
    {
        bytes32 hash =
            keccak256(abi.encode(oracle.ANSWER_TYPEHASH(), FEED, roundId, answer, observedAt));
        return IDataOracle.Report(answer, observedAt, _sign(key, hash));
    }

    /// @dev Of the first reporters in the round's order, the first being the newest.
    function _reports(uint64 roundId, int192[] memory answers)
        private
        view
        returns (IDataOracle.Report[] memory reports)
    {
        reports = new IDataOracle.Report[](answers.length);
        for (uint256 i = 0; i < answers.length; ++i) {
            reports[i] =
                _report(_keyAt(roundId, i), roundId, answers[i], uint64(block.timestamp - i));
        }
    }

    function _keyAt(uint64 roundId, uint256 place) private view returns (uint256) {
        return keys[(place + roundId) % keys.length];
    }

    function _three(int192 a, int192 b, int192 c) private pure returns (int192[] memory answers) {
        answers = new int192[](3);
        (answers[0], answers[1], answers[2]) = (a, b, c);
    }

    function test_AQuorumsMedianIsReadAsAChainlinkFeed() public {
        oracle.submitAnswer(FEED, _reports(1, _three(2150, -40, 2100)));
        (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 inRound) =
            aggregator.latestRoundData();
        vm.assertEq(answer, 2100);
        vm.assertEq(id, 1);
        vm.assertEq(inRound, 1);
        vm.assertEq(updatedAt, block.timestamp - 1); // the median of the times
        vm.assertEq(startedAt, updatedAt);
        vm.assertEq(aggregator.decimals(), 2);
        vm.assertEq(bytes(aggregator.description()), "degrees C");
        vm.assertEq(oracle.latestRound(), 1);

        oracle.submitAnswer(FEED, _reports(2, _three(1, 2, 3)));
        (, answer,,,) = aggregator.getRoundData(1);
        vm.assertEq(answer, 2100);
        (, answer,,,) = aggregator.getRoundData(2);
        vm.assertEq(answer, 2);
        (answer,) = oracle.read(FEED);
        vm.assertEq(answer, 2);
    }

    function testFuzz_FaultyReportersMoveNothingOutOfTheHonestValues(
        int192[5] calldata answers,
        uint8 number,
        uint8 liars
    ) public {
        uint256 size = bound(number, 1, 5);
        uint256 faulty = bound(liars, 0, (size - 1) / 2);
        vm.prank(owner);
        oracle.setReporters(new address[](0), true, uint8(size), uint8(faulty));
        int192[] memory some = new int192[](size);
        int192 lowest = type(int192).max;
        int192 highest = type(int192).min;
        for (uint256 i = 0; i < size; ++i) {
            some[i] = answers[i] % 1e12;
            if (i < faulty) continue;
            if (some[i] < lowest) lowest = some[i];
            if (some[i] > highest) highest = some[i];
        }
        oracle.submitAnswer(FEED, _reports(1, some));
        (, int256 median,,,) = aggregator.latestRoundData();
        vm.assertTrue(median >= lowest && median <= highest);
    }

    function test_AnEvenQuorumTakesTheLowerMedian() public {
        vm.prank(owner);
        oracle.setReporters(new address[](0), true, 4, 1);
        int192[] memory four = new int192[](4);
        (four[0], four[1], four[2], four[3]) = (1e12, 2150, 2140, 2160);
        oracle.submitAnswer(FEED, _reports(1, four));
        (int256 answer, uint256 updatedAt) = oracle.read(FEED);
        vm.assertEq(answer, 2150);
        vm.assertEq(updatedAt, block.timestamp - 2);
    }

    function test_RevertWhen_ReportsAreTooFewOrForged() public {
        int192[] memory two = new int192[](2);
        IDataOracle.Report[] memory reports = _reports(1, two);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleWrongNumberOfReports.selector, 2, 3)
        );
        oracle.submitAnswer(FEED, reports);
        reports = _reports(1, new int192[](4)); // more would be a choice, too
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleWrongNumberOfReports.selector, 4, 3)
        );
        oracle.submitAnswer(FEED, reports);

        reports = _reports(1, _three(1, 2, 3));
        reports[2] = reports[1]; // one reporter twice
        address second = vm.addr(_keyAt(1, 1));
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleUnsortedReports.selector, second, 1)
        );
        oracle.submitAnswer(FEED, reports);

        reports = _reports(1, _three(1, 2, 3));
        reports[1] = _report(uint256(keccak256("stranger")), 1, 2, uint64(block.timestamp));
        address stranger = vm.addr(uint256(keccak256("stranger")));
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleNotAReporter.selector, stranger)
        );
        oracle.submitAnswer(FEED, reports);

        reports = _reports(1, _three(1, 2, 3));
        reports[1].answer = 999; // another answer than was signed
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector);
        oracle.submitAnswer(FEED, reports);
    }

    function test_RevertWhen_ReportsAreReplayed() public {
        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 3));
        oracle.submitAnswer(FEED, reports);
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector); // signed for round 1
        oracle.submitAnswer(FEED, reports);
        DataOracle other = new DataOracle(owner, FEATURES);
        vm.startPrank(owner);
        other.setReporters(_accounts(), true, 3, 1);
        other.addFeed(FEED, "", 2, 3600, -1e12, 1e12);
        vm.stopPrank();
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector); // signed for another oracle
        other.submitAnswer(FEED, reports);
    }

    function test_RevertWhen_ReportsAreOldOrFromTheFuture() public {
        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 3));
        uint64 now_ = uint64(block.timestamp);
        bytes4 refusal = IDataOracle.DataOracleBadTime.selector;
        reports[1] = _report(_keyAt(1, 1), 1, 2, now_ + 1);
        vm.expectRevert(abi.encodeWithSelector(refusal, now_ + 1, now_, 3600));
        oracle.submitAnswer(FEED, reports);
        reports[1] = _report(_keyAt(1, 1), 1, 2, now_ - 3601);
        vm.expectRevert(abi.encodeWithSelector(refusal, now_ - 3601, now_, 3600));
        oracle.submitAnswer(FEED, reports);
    }

    function test_RevertWhen_AnAnswerIsStaleOrMissing() public {
        bytes4 none = IDataOracle.DataOracleNoAnswer.selector;
        vm.expectRevert(abi.encodeWithSelector(none, FEED, 0));
        oracle.read(FEED);
        vm.expectRevert(abi.encodeWithSelector(none, FEED, 0));
        aggregator.getRoundData(0);
        oracle.submitAnswer(FEED, _reports(1, _three(1, 2, 3)));
        vm.expectRevert(abi.encodeWithSelector(none, FEED, 2));
        aggregator.getRoundData(2);
        uint256 updatedAt = block.timestamp - 1;
        vm.warp(block.timestamp + 3600);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleStale.selector, FEED, updatedAt, 3600)
        );
        oracle.read(FEED);
        vm.prank(owner);
        oracle.setMaxAge(FEED, 7200);
        (int256 answer,) = oracle.read(FEED);
        vm.assertEq(answer, 2);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleUnknownFeed.selector, bytes32("x"))
        );
        oracle.read("x");
    }

    function test_TheOwnerMayReadAFeedFromOutside() public {
        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 3));
        oracle.submitAnswer(FEED, reports);
        OutsideFeed outside = new OutsideFeed();
        vm.prank(owner);
        oracle.setSource(FEED, outside);
        outside.set(7, 1234, block.timestamp, 7);
        (int256 answer,) = oracle.read(FEED);
        vm.assertEq(answer, 1234);
        uint80 id;
        (id, answer,,,) = aggregator.latestRoundData(); // the feed's own address gives the same
        vm.assertEq(answer, 1234);
        vm.assertEq(id, 7);
        (, answer,,,) = aggregator.getRoundData(7);
        vm.assertEq(answer, 1234);

        vm.expectRevert(
            abi.encodeWithSelector(
                IDataOracle.DataOracleFeedIsExternal.selector, FEED, address(outside)
            )
        );
        oracle.submitAnswer(FEED, reports);
        vm.expectPartialRevert(IDataOracle.DataOracleFeedIsExternal.selector);
        oracle.request(FEED);
        bytes4 refusal = IDataOracle.DataOracleIncompleteRound.selector;
        outside.set(8, 1234, block.timestamp, 7);
        vm.expectRevert(abi.encodeWithSelector(refusal, FEED, 8, 7));
        oracle.read(FEED);
        outside.set(8, 1234, 0, 8);
        vm.expectRevert(abi.encodeWithSelector(refusal, FEED, 8, 8));
        oracle.read(FEED);
        outside.set(8, 1e12 + 1, block.timestamp, 8);
        vm.expectPartialRevert(IDataOracle.DataOracleOutOfBounds.selector);
        oracle.read(FEED);
        outside.set(8, 1234, block.timestamp - 3601, 8);
        vm.expectPartialRevert(IDataOracle.DataOracleStale.selector);
        oracle.read(FEED);

        vm.prank(owner);
        oracle.setSource(FEED, AggregatorV3Interface(address(0)));
        oracle.submitAnswer(FEED, _reports(2, _three(1, 2, 3)));
        (, answer,,,) = aggregator.getRoundData(1);
        vm.assertEq(answer, 2);
    }

    function test_RevertWhen_ASourceHasOtherDecimals() public {
        OutsideFeed outside = new OutsideFeed();
        outside.setDecimals(8);
        bytes4 refusal = IDataOracle.DataOracleWrongDecimals.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 8, 2));
        vm.prank(owner);
        oracle.setSource(FEED, outside);
        outside.setDecimals(2);
        vm.prank(owner);
        oracle.setSource(FEED, outside);
        outside.set(1, 5, block.timestamp, 1);
        outside.setDecimals(18); // it was upgraded
        vm.expectRevert(abi.encodeWithSelector(refusal, 18, 2));
        aggregator.latestRoundData();
        vm.expectRevert(abi.encodeWithSelector(refusal, 18, 2));
        aggregator.getRoundData(1);
    }

    function test_ReportersAndQuorumChange() public {
        bytes4 refusal = IDataOracle.DataOracleBadQuorum.selector;
        address[] memory removed = new address[](2);
        (removed[0], removed[1]) = (vm.addr(keys[0]), vm.addr(keys[1]));
        vm.expectRevert(abi.encodeWithSelector(refusal, 4, 1, 3));
        vm.prank(owner);
        oracle.setReporters(removed, false, 4, 1);
        vm.expectRevert(abi.encodeWithSelector(refusal, 2, 1, 3)); // half of a quorum of 2 sets it
        vm.prank(owner);
        oracle.setReporters(removed, false, 2, 1);
        vm.prank(owner);
        oracle.setReporters(removed, false, 3, 1);
        vm.assertEq(oracle.reporterCount(), 3);
        vm.assertEq(oracle.faults(), 1);
        vm.assertFalse(oracle.isReporter(removed[0]));
        // Whoever has which seat, the rows of the order are the three that are left.
        address[] memory left = oracle.reporters();
        vm.assertEq(left.length, 3);
        IDataOracle.Report[] memory reports = new IDataOracle.Report[](3);
        for (uint256 i = 2; i < 5; ++i) {
            uint256 place = oracle.placeOf(vm.addr(keys[i]), 1);
            reports[place] = _report(keys[i], 1, int192(int256(10 * i)), uint64(block.timestamp));
        }
        oracle.submitAnswer(FEED, reports);
        (int256 answer,) = oracle.read(FEED);
        vm.assertEq(answer, 30);

        vm.expectRevert(abi.encodeWithSelector(refusal, 0, 0, 3));
        vm.prank(owner);
        oracle.setReporters(new address[](0), true, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleTooManyReporters.selector, 32, 31)
        );
        vm.prank(owner);
        oracle.setReporters(new address[](32), true, 1, 0);
        vm.expectPartialRevert(IDataOracle.DataOracleBadArgument.selector);
        vm.prank(owner);
        oracle.setReporters(new address[](1), true, 1, 0);
    }

    function test_AReporterThatIsSilentIsLeftOutAfterPatience() public {
        IDataOracle.Report[] memory reports = new IDataOracle.Report[](3);
        uint64 now_ = uint64(block.timestamp);
        for (uint256 i = 0; i < 3; ++i) {
            reports[i] = _report(_keyAt(1, i == 0 ? 0 : i + 1), 1, 5, now_ - uint64(i));
        }
        bytes4 refusal = IDataOracle.DataOracleLeavesOutReporters.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1, now_ + 30, now_));
        oracle.submitAnswer(FEED, reports);
        vm.warp(now_ + 30);
        oracle.submitAnswer(FEED, reports);
        vm.prank(owner);
        oracle.setPatience(5);
        vm.assertEq(oracle.patience(), 5);
    }

    function test_RevertWhen_AnAnswerIsOutOfBounds() public {
        bytes4 refusal = IDataOracle.DataOracleOutOfBounds.selector;
        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 1e12 + 1));
        vm.expectRevert(abi.encodeWithSelector(refusal, FEED, int256(1e12 + 1), -1e12, 1e12));
        oracle.submitAnswer(FEED, reports);
        vm.expectPartialRevert(IDataOracle.DataOracleBadArgument.selector);
        vm.prank(owner);
        oracle.addFeed("y", "", 0, 1, 2, 1);
    }

    function test_RevertWhen_TimeRunsBackwards() public {
        oracle.submitAnswer(FEED, _reports(1, _three(1, 2, 3)));
        uint64 before = uint64(block.timestamp - 1);
        IDataOracle.Report[] memory reports = new IDataOracle.Report[](3);
        for (uint256 i = 0; i < 3; ++i) {
            // One reporter that is late (or lies) moves nothing; two are the median.
            reports[i] = _report(_keyAt(2, i), 2, 1, i < 2 ? before - 100 : before + 1);
        }
        bytes4 refusal = IDataOracle.DataOracleTimeRunsBackwards.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, before - 100, before));
        oracle.submitAnswer(FEED, reports);
        reports[1] = _report(_keyAt(2, 1), 2, 1, before);
        oracle.submitAnswer(FEED, reports);
        (, uint256 updatedAt) = oracle.read(FEED);
        vm.assertEq(updatedAt, before);
    }

    function test_RevertWhen_SomebodyElseGoverns() public {
        bytes memory refusal =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this));
        vm.expectRevert(refusal);
        oracle.setReporters(new address[](0), true, 1, 0);
        vm.expectRevert(refusal);
        oracle.addFeed("y", "", 0, 1, 0, 1);
        vm.expectRevert(refusal);
        oracle.setPatience(1);
        vm.expectRevert(refusal);
        oracle.setRequestPrice(1);
        vm.expectRevert(refusal);
        oracle.setSource(FEED, AggregatorV3Interface(address(1)));
        vm.expectRevert(refusal);
        oracle.setMaxAge(FEED, 1);
        vm.expectRevert(abi.encodeWithSelector(IDataOracle.DataOracleFeedExists.selector, FEED));
        vm.prank(owner);
        oracle.addFeed(FEED, "", 0, 1, 0, 1);
    }

    function _signBatch(uint64 number, uint64 observedAt, bytes memory samples)
        private
        view
        returns (bytes[] memory signatures)
    {
        bytes32 hash = keccak256(
            abi.encode(
                oracle.BATCH_TYPEHASH(), bytes32("barn"), number, observedAt, keccak256(samples)
            )
        );
        signatures = new bytes[](3);
        for (uint256 i = 0; i < 3; ++i) {
            signatures[i] = _sign(_keyAt(0, i), hash);
        }
    }

    function test_ABatchOfSamplesIsTakenOnce() public {
        bytes memory samples = records(10, 1, FEATURES, 1);
        uint64 at_ = uint64(block.timestamp);
        bytes[] memory signatures = _signBatch(1, at_, samples);
        vm.expectEmit(true, true, true, true, address(oracle));
        emit IDataOracle.Samples(1, "barn", at_, samples);
        oracle.submitBatch("barn", 1, at_, samples, signatures);
        (uint64 newest, uint64 observedAt) = oracle.latestBatch("barn");
        vm.assertEq(newest, 1);
        vm.assertEq(observedAt, at_);
        vm.assertEq(oracle.latestRound(), 1);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleWrongBatchNumber.selector, 1, 2)
        );
        oracle.submitBatch("barn", 1, at_, samples, signatures);
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector);
        oracle.submitBatch("barn", 2, at_, samples, signatures);
        signatures = _signBatch(2, at_ - 1, samples);
        vm.expectPartialRevert(IDataOracle.DataOracleTimeRunsBackwards.selector);
        oracle.submitBatch("barn", 2, at_ - 1, samples, signatures);
        signatures = _signBatch(2, at_, samples);
        samples[3] = ~samples[3];
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector);
        oracle.submitBatch("barn", 2, at_, samples, signatures);
    }

    function test_RevertWhen_ABatchIsNoBatch() public {
        bytes[] memory signatures = new bytes[](3);
        uint64 at_ = uint64(block.timestamp);
        bytes4 refusal = IDataOracle.DataOracleBadBatch.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 0, 9, 24_576));
        oracle.submitBatch("barn", 1, at_, "", signatures);
        vm.expectRevert(abi.encodeWithSelector(refusal, 10, 9, 24_576));
        oracle.submitBatch("barn", 1, at_, new bytes(10), signatures);
        vm.expectRevert(abi.encodeWithSelector(refusal, 24_579, 9, 24_576));
        oracle.submitBatch("barn", 1, at_, new bytes(24_579), signatures);
        vm.expectPartialRevert(IDataOracle.DataOracleBadTime.selector);
        oracle.submitBatch("barn", 1, at_ + 1, new bytes(9), signatures);
    }

    function test_ABufferCitesTheRound() public {
        oracle.submitAnswer(FEED, _reports(1, _three(1, 2, 3)));
        PrototypeBuffer buffer = new PrototypeBuffer(address(this), bytes32(0), FEATURES, 2);
        address[] memory one = new address[](1);
        one[0] = address(this);
        buffer.addGateways(one);
        buffer.setOracle(address(oracle));
        buffer.commit(nextHead(buffer, address(this), bytes25(0), 1), hex"00", 1);
        vm.assertEq(buffer.standing(address(this)).oracleRound, 1);
    }

    function test_ARequestNamesAFeedAndPaysWhoAnswers() public {
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleUnknownFeed.selector, bytes32("x"))
        );
        oracle.request("x");
        vm.prank(owner);
        oracle.setRequestPrice(1000);
        vm.expectRevert(abi.encodeWithSelector(IDataOracle.DataOracleWrongPrice.selector, 0, 1000));
        oracle.request(FEED);
        vm.deal(address(this), 2000);
        vm.expectEmit(true, true, true, true, address(oracle));
        emit IDataOracle.Requested(FEED, address(this));
        oracle.request{value: 1000}(FEED);
        oracle.request{value: 1000}(FEED);
        vm.assertEq(address(this).balance, 0);

        address sender = address(0x5E7D);
        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 3));
        vm.prank(sender);
        oracle.submitAnswer(FEED, reports);
        vm.assertEq(sender.balance, 2000);
        vm.assertEq(address(oracle).balance, 0);
        reports = _reports(2, _three(1, 2, 3));
        vm.prank(sender);
        oracle.submitAnswer(FEED, reports); // once
        vm.assertEq(sender.balance, 2000);
    }
}
