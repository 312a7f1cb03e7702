// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {DataOracle} from "../src/DataOracle.sol";
import {AggregatorV3Interface} from "../src/interfaces/IAggregatorV3.sol";
import {IDataOracle} from "../src/interfaces/IDataOracle.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {Test} from "./utils/Test.sol";

/// @title A feed outside whose answers the test sets.
contract OutsideFeed is AggregatorV3Interface {
    uint8 public constant decimals = 8;
    string public constant description = "outside";
    uint256 public constant version = 1;
    uint80 private _roundId;
    int256 private _answer;
    uint256 private _updatedAt;
    uint80 private _answeredInRound;

    function set(uint80 roundId, int256 answer, uint256 updatedAt, uint80 answeredInRound)
        external
    {
        (_roundId, _answer, _updatedAt, _answeredInRound) =
        (roundId, answer, updatedAt, answeredInRound);
    }

    function getRoundData(uint80) external view returns (uint80, int256, uint256, uint256, uint80) {
        return latestRoundData();
    }

    function latestRoundData() public view returns (uint80, int256, uint256, uint256, uint80) {
        return (_roundId, _answer, _updatedAt, _updatedAt, _answeredInRound);
    }
}

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
        oracle.setReporters(_accounts(), true, 3);
        aggregator = AggregatorV3Interface(oracle.addFeed(FEED, "degrees C", 2, 3600));
        vm.stopPrank();
    }

    /// @dev Keys in the order of their addresses, because reports must be sorted so.
    function _makeKeys(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            keys.push(uint256(keccak256(abi.encode("reporter", i))));
        }
        for (uint256 i = 1; i < count; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j - 1]) > vm.addr(keys[j]); --j) {
                (keys[j - 1], keys[j]) = (keys[j], keys[j - 1]);
            }
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

    function _reports(uint64 roundId, int192[] memory answers)
        private
        view
        returns (IDataOracle.Report[] memory reports)
    {
        reports = new IDataOracle.Report[](answers.length);
        for (uint256 i = 0; i < answers.length; ++i) {
            reports[i] = _report(keys[i], roundId, answers[i], uint64(block.timestamp - i));
        }
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
        vm.assertEq(updatedAt, block.timestamp - 2); // as old as the oldest report
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

    function testFuzz_TheMedianLiesInTheMiddle(int192[5] calldata answers, uint8 number) public {
        int192[] memory some = new int192[](bound(number, 3, 5));
        for (uint256 i = 0; i < some.length; ++i) {
            some[i] = answers[i];
        }
        oracle.submitAnswer(FEED, _reports(1, some));
        (, int256 median,,,) = aggregator.latestRoundData();
        uint256 below;
        uint256 above;
        for (uint256 i = 0; i < some.length; ++i) {
            if (some[i] < median) ++below;
            if (some[i] > median) ++above;
        }
        vm.assertLe(below, some.length / 2);
        vm.assertLe(above, some.length / 2);
    }

    function test_RevertWhen_ReportsAreTooFewOrForged() public {
        int192[] memory two = new int192[](2);
        IDataOracle.Report[] memory reports = _reports(1, two);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleWrongNumberOfReports.selector, 2, 3, 5)
        );
        oracle.submitAnswer(FEED, reports);

        reports = _reports(1, _three(1, 2, 3));
        reports[2] = reports[1]; // one reporter twice
        address second = vm.addr(keys[1]);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleUnsortedReports.selector, second, second)
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
        other.setReporters(_accounts(), true, 3);
        other.addFeed(FEED, "", 2, 3600);
        vm.stopPrank();
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector); // signed for another oracle
        other.submitAnswer(FEED, reports);
    }

    function test_RevertWhen_ReportsAreOldOrFromTheFuture() public {
        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 3));
        uint64 now_ = uint64(block.timestamp);
        bytes4 refusal = IDataOracle.DataOracleBadTime.selector;
        reports[1] = _report(keys[1], 1, 2, now_ + 1);
        vm.expectRevert(abi.encodeWithSelector(refusal, now_ + 1, now_, 3600));
        oracle.submitAnswer(FEED, reports);
        reports[1] = _report(keys[1], 1, 2, now_ - 3601);
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
        uint256 updatedAt = block.timestamp - 2;
        vm.warp(block.timestamp + 3599);
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
        OutsideFeed outside = new OutsideFeed();
        vm.prank(owner);
        oracle.setSource(FEED, outside);
        outside.set(7, 1234, block.timestamp, 7);
        (int256 answer,) = oracle.read(FEED);
        vm.assertEq(answer, 1234);

        IDataOracle.Report[] memory reports = _reports(1, _three(1, 2, 3));
        vm.expectRevert(
            abi.encodeWithSelector(
                IDataOracle.DataOracleFeedIsExternal.selector, FEED, address(outside)
            )
        );
        oracle.submitAnswer(FEED, reports);
        bytes4 refusal = IDataOracle.DataOracleIncompleteRound.selector;
        outside.set(8, 1234, block.timestamp, 7);
        vm.expectRevert(abi.encodeWithSelector(refusal, FEED, 8, 7));
        oracle.read(FEED);
        outside.set(8, 1234, 0, 8);
        vm.expectRevert(abi.encodeWithSelector(refusal, FEED, 8, 8));
        oracle.read(FEED);
        outside.set(8, 1234, block.timestamp - 3601, 8);
        vm.expectPartialRevert(IDataOracle.DataOracleStale.selector);
        oracle.read(FEED);

        vm.prank(owner);
        oracle.setSource(FEED, AggregatorV3Interface(address(0)));
        oracle.submitAnswer(FEED, reports);
    }

    function test_ReportersAndQuorumChange() public {
        address[] memory gone = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            gone[i] = vm.addr(keys[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IDataOracle.DataOracleBadQuorum.selector, 3, 2));
        vm.prank(owner);
        oracle.setReporters(gone, false, 3);
        vm.prank(owner);
        oracle.setReporters(gone, false, 2);
        vm.assertEq(oracle.reporterCount(), 2);
        IDataOracle.Report[] memory reports = new IDataOracle.Report[](2);
        reports[0] = _report(keys[3], 1, 10, uint64(block.timestamp));
        reports[1] = _report(keys[4], 1, -5, uint64(block.timestamp));
        oracle.submitAnswer(FEED, reports);
        (int256 answer,) = oracle.read(FEED);
        vm.assertEq(answer, 2); // 2.5 towards zero

        vm.expectRevert(abi.encodeWithSelector(IDataOracle.DataOracleBadQuorum.selector, 0, 2));
        vm.prank(owner);
        oracle.setReporters(new address[](0), true, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleTooManyReporters.selector, 32, 31)
        );
        vm.prank(owner);
        oracle.setReporters(new address[](32), true, 1);
        vm.expectPartialRevert(IDataOracle.DataOracleBadArgument.selector);
        vm.prank(owner);
        oracle.setReporters(new address[](1), true, 1);
    }

    function test_RevertWhen_SomebodyElseGoverns() public {
        bytes memory refusal =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this));
        vm.expectRevert(refusal);
        oracle.setReporters(new address[](0), true, 1);
        vm.expectRevert(refusal);
        oracle.addFeed("y", "", 0, 1);
        vm.expectRevert(refusal);
        oracle.setSource(FEED, AggregatorV3Interface(address(1)));
        vm.expectRevert(refusal);
        oracle.setMaxAge(FEED, 1);
        vm.expectRevert(abi.encodeWithSelector(IDataOracle.DataOracleFeedExists.selector, FEED));
        vm.prank(owner);
        oracle.addFeed(FEED, "", 0, 1);
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
            signatures[i] = _sign(keys[i], hash);
        }
    }

    function test_ABatchOfSamplesIsTakenOnce() public {
        bytes memory samples = records(10, 1, FEATURES, 1);
        uint64 at_ = uint64(block.timestamp);
        bytes[] memory signatures = _signBatch(1, at_, samples);
        vm.expectEmit(true, true, true, true, address(oracle));
        emit IDataOracle.Samples(1, "barn", at_, samples);
        oracle.submitBatch("barn", 1, at_, samples, signatures);
        vm.assertEq(oracle.latestBatch("barn"), 1);
        vm.assertEq(oracle.latestRound(), 1);
        vm.expectRevert(
            abi.encodeWithSelector(IDataOracle.DataOracleWrongBatchNumber.selector, 1, 2)
        );
        oracle.submitBatch("barn", 1, at_, samples, signatures);
        vm.expectPartialRevert(IDataOracle.DataOracleNotAReporter.selector);
        oracle.submitBatch("barn", 2, at_, samples, signatures);
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
        vm.assertEq(buffer.commit(0, 1, bytes32(0), hex"00", 1), 1);
    }

    function test_ARequestIsTold() public {
        vm.expectEmit(true, true, true, true, address(oracle));
        emit IDataOracle.Requested(FEED, address(this));
        oracle.request(FEED);
    }
}
