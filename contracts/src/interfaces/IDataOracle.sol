// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {AggregatorV3Interface} from "./IAggregatorV3.sol";

/// @title Outside data on the chain, by a quorum of reporters, without anyone's raw readings.
/// @notice Two kinds. A **feed** is a number (an outdoor temperature): reporters sign what each read,
/// the lower median counts. A **batch** is a row of labelled samples that a site without a chain has
/// aggregated: reporters sign the same batch. Either way one transaction carries the EIP-712
/// signatures of a quorum of reporters, and anyone may send it.
///
/// **What `faults` = f liars can do.** The quorum is at least 2f + 1, so the median of values and that
/// of times lie between two honest ones. Nobody picks among reports: a submission carries exactly
/// `quorum` of them, those of the first reporters in the round's order, which rotates by one a round.
/// A reporter in front may be left out only when every report given is older than `patience` seconds
/// for each one left out; until then any honest reporter can send the complete row. With at least
/// 3f + 1 reporters f silent ones cost patience and no answers.
///
/// Every accepted transaction is a **round**, counted over all feeds and batches; PrototypeBuffer's
/// commits cite it. Within a feed, answers are numbered by `roundId` from 1, as Chainlink's are.
interface IDataOracle {
    /// @notice What one reporter read.
    /// @param answer the number, scaled by the feed's decimals
    /// @param observedAt when it was read, seconds
    /// @param signature of `Answer(bytes32 feed,uint64 roundId,int192 answer,uint64 observedAt)`
    struct Report {
        int192 answer;
        uint64 observedAt;
        bytes signature;
    }

    /// @notice `account` may report, or no longer.
    event ReporterChanged(address indexed account, bool allowed);

    /// @notice So many reports make an answer from now on, of which `faults` may be lies.
    event QuorumChanged(uint8 quorum, uint8 faults);

    /// @notice A reporter may be left out after so many seconds.
    event PatienceChanged(uint32 patience);

    /// @notice A request costs so many wei from now on.
    event RequestPriceChanged(uint96 price);

    /// @notice A feed was opened, or its terms or source changed.
    /// @param feed its identifier
    /// @param aggregator where contracts read it, always
    /// @param source where the aggregator takes answers from; zero: the reporters
    /// @param maxAge seconds after which an answer is stale
    event FeedChanged(bytes32 indexed feed, address aggregator, address source, uint32 maxAge);

    /// @notice Somebody asks the reporters for a new answer or batch.
    event Requested(bytes32 indexed feed, address indexed by);

    /// @notice An answer was accepted.
    event Answered(
        bytes32 indexed feed, uint64 indexed roundId, uint64 round, int192 answer, uint64 updatedAt
    );

    /// @notice A batch was accepted.
    /// @param round the oracle's round
    /// @param source who aggregated it
    /// @param observedAt when its last sample ended, seconds
    /// @param samples records of the buffer's format, ids counting from 0
    event Samples(uint64 indexed round, bytes32 indexed source, uint64 observedAt, bytes samples);

    /// @notice Another number of signatures than the quorum.
    error DataOracleWrongNumberOfReports(uint256 found, uint256 quorum);

    /// @notice A signature is of somebody who is no reporter (or of another message).
    error DataOracleNotAReporter(address signer);

    /// @notice Reports must stand in the order of `placeOf`, each reporter's once.
    error DataOracleUnsortedReports(address signer, uint256 place);

    /// @notice Reporters in front were left out, which is allowed from `from` on.
    error DataOracleLeavesOutReporters(uint256 leftOut, uint256 from, uint256 now_);

    /// @notice Observed too long ago, or in the future.
    error DataOracleBadTime(uint64 observedAt, uint256 now_, uint256 maxAge);

    /// @notice The median's time is before that of the previous answer.
    error DataOracleTimeRunsBackwards(uint64 updatedAt, uint64 previous);

    /// @notice The feed's answers lie between `minimum` and `maximum`.
    error DataOracleOutOfBounds(bytes32 feed, int256 answer, int128 minimum, int128 maximum);

    /// @notice The newest answer is older than the feed allows.
    error DataOracleStale(bytes32 feed, uint256 updatedAt, uint256 maxAge);

    /// @notice The feed has no such round.
    error DataOracleNoAnswer(bytes32 feed, uint256 roundId);

    /// @notice A source outside answered with a round that is not finished.
    error DataOracleIncompleteRound(bytes32 feed, uint256 roundId, uint256 answeredInRound);

    /// @notice No such feed.
    error DataOracleUnknownFeed(bytes32 feed);

    /// @notice The feed exists already.
    error DataOracleFeedExists(bytes32 feed);

    /// @notice The feed is read from outside: reports are not taken.
    error DataOracleFeedIsExternal(bytes32 feed, address source);

    /// @notice The source counts in other decimals than the feed.
    error DataOracleWrongDecimals(uint8 found, uint8 expected);

    /// @notice A request must pay exactly `price` wei.
    error DataOracleWrongPrice(uint256 paid, uint256 price);

    /// @notice The sender of an answer did not take what requests have left.
    error DataOracleNotPaid(address sender, uint256 reward);

    /// @notice A quorum of 0, of more than there are reporters, or below 2 · faults + 1.
    error DataOracleBadQuorum(uint256 quorum, uint256 faults, uint256 reporters);

    /// @notice More reporters than `MAX_REPORTERS`.
    error DataOracleTooManyReporters(uint256 found, uint256 limit);

    /// @notice A batch that is empty, too long, or not of whole records.
    error DataOracleBadBatch(uint256 length, uint256 recordBytes, uint256 limit);

    /// @notice A batch that does not continue the source's last one.
    error DataOracleWrongBatchNumber(uint64 found, uint64 expected);

    /// @notice The zero address, a record format without features, or bounds that hold no number.
    error DataOracleBadArgument();

    /// @notice Submit the next answer of `feed`; the sender is paid what requests have left.
    /// @param reports `quorum` of them, in the order of `placeOf(reporter, roundId)`
    /// @return roundId the answer's number within the feed
    function submitAnswer(bytes32 feed, Report[] calldata reports) external returns (uint64 roundId);

    /// @notice Submit a batch of labelled samples.
    /// @param source who aggregated it
    /// @param number 1 for the source's first batch, then one more each
    /// @param observedAt when its last sample ended, seconds
    /// @param samples records of the buffer's format
    /// @param signatures of `Batch(bytes32 source,uint64 number,uint64 observedAt,bytes32
    /// samplesHash)`, `quorum` of them, in the order of `placeOf(reporter, 0)`
    /// @return round the oracle's round
    function submitBatch(
        bytes32 source,
        uint64 number,
        uint64 observedAt,
        bytes calldata samples,
        bytes[] calldata signatures
    ) external returns (uint64 round);

    /// @notice Ask the reporters for a new answer of `feed`, for exactly `requestPrice` wei, which goes
    /// to the sender of that answer.
    function request(bytes32 feed) external payable;

    /// @notice Allow or forbid reporters, and say how many reports make an answer.
    /// @param quorum reports of an answer or batch, at least 2 · faults + 1
    /// @param faults how many of the reporters may lie without moving the median out of honest values
    function setReporters(address[] calldata accounts, bool allowed, uint8 quorum, uint8 faults)
        external;

    /// @notice Change after how many seconds a reporter may be left out.
    function setPatience(uint32 patience) external;

    /// @notice Change what a request costs, in wei.
    function setRequestPrice(uint96 price) external;

    /// @notice Open a feed that reporters answer.
    /// @param minimum lowest answer, scaled by `decimals`
    /// @param maximum highest answer
    /// @return aggregator where contracts read it as Chainlink's
    function addFeed(
        bytes32 feed,
        string calldata description,
        uint8 decimals,
        uint32 maxAge,
        int128 minimum,
        int128 maximum
    ) external returns (address aggregator);

    /// @notice Read a feed from a Chainlink aggregator of the same decimals instead; zero returns to
    /// the reporters. The feed's own address gives the same answers.
    function setSource(bytes32 feed, AggregatorV3Interface source) external;

    /// @notice Change after how many seconds an answer is stale.
    function setMaxAge(bytes32 feed, uint32 maxAge) external;

    /// @notice The newest answer; reverts when it is stale or out of the feed's bounds.
    function read(bytes32 feed) external view returns (int256 answer, uint256 updatedAt);

    /// @notice One answer that the reporters gave, stale or not.
    /// @param roundId 0 for the newest
    function answerAt(bytes32 feed, uint64 roundId)
        external
        view
        returns (uint64 id, int192 answer, uint64 updatedAt);

    /// @notice The source outside that a feed is read from; zero: the reporters.
    function sourceOf(bytes32 feed) external view returns (AggregatorV3Interface);

    /// @notice Where a reporter stands in the order of a round, from 0.
    function placeOf(address reporter, uint64 roundId) external view returns (uint256);

    /// @notice Who may report, in no order that means anything.
    function reporters() external view returns (address[] memory);

    /// @notice Accepted transactions so far, over all feeds and batches.
    function latestRound() external view returns (uint64);
}
