// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {AggregatorV3Interface} from "./IAggregatorV3.sol";

/// @title Outside data on the chain, by a quorum of reporters, without anyone's raw readings.
/// @notice Two kinds. A **feed** is a number (an outdoor temperature): reporters sign what each read,
/// the median counts. A **batch** is a row of labelled samples that a site without a chain has
/// aggregated: reporters sign the same batch. Either way one transaction carries the EIP-712
/// signatures of at least `quorum` reporters, and anyone may send it.
///
/// Every accepted transaction is a **round**, counted over all feeds and batches; PrototypeBuffer's
/// commits cite it. Within a feed, answers are numbered by `roundId` from 1, as Chainlink's are.
///
/// Costs, gas of whole transactions: an answer of 3 or 5 reporters 93 or 114 k, a batch of 10 samples
/// with 2 features 82 or 98 k.
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

    /// @notice So many reporters must agree from now on.
    event QuorumChanged(uint8 quorum);

    /// @notice A feed was opened, or its source changed.
    /// @param feed its identifier
    /// @param aggregator where contracts read it
    /// @param maxAge seconds after which an answer is stale
    event FeedChanged(bytes32 indexed feed, address aggregator, uint32 maxAge);

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

    /// @notice Fewer signatures than the quorum, or more than reporters.
    error DataOracleWrongNumberOfReports(uint256 found, uint256 quorum, uint256 reporters);

    /// @notice A signature is of somebody who is no reporter (or of another message).
    error DataOracleNotAReporter(address signer);

    /// @notice Reports must be sorted by their signers' addresses, each once.
    error DataOracleUnsortedReports(address signer, address previous);

    /// @notice Observed too long ago, or in the future.
    error DataOracleBadTime(uint64 observedAt, uint256 now_, uint256 maxAge);

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

    /// @notice A quorum of 0, or of more than there are reporters.
    error DataOracleBadQuorum(uint256 quorum, uint256 reporters);

    /// @notice More reporters than `MAX_REPORTERS`.
    error DataOracleTooManyReporters(uint256 found, uint256 limit);

    /// @notice A batch that is empty, too long, or not of whole records.
    error DataOracleBadBatch(uint256 length, uint256 recordBytes, uint256 limit);

    /// @notice A batch that does not continue the source's last one.
    error DataOracleWrongBatchNumber(uint64 found, uint64 expected);

    /// @notice The zero address, or a record format without features.
    error DataOracleBadArgument();

    /// @notice Submit the next answer of `feed`.
    /// @param reports sorted by their signers' addresses
    /// @return roundId the answer's number within the feed
    function submitAnswer(bytes32 feed, Report[] calldata reports) external returns (uint64 roundId);

    /// @notice Submit a batch of labelled samples.
    /// @param source who aggregated it
    /// @param number 1 for the source's first batch, then one more each
    /// @param observedAt when its last sample ended, seconds
    /// @param samples records of the buffer's format
    /// @param signatures of `Batch(bytes32 source,uint64 number,uint64 observedAt,bytes32
    /// samplesHash)`, sorted by their signers' addresses
    /// @return round the oracle's round
    function submitBatch(
        bytes32 source,
        uint64 number,
        uint64 observedAt,
        bytes calldata samples,
        bytes[] calldata signatures
    ) external returns (uint64 round);

    /// @notice Ask the reporters for something new of `feed`: an event, nothing more.
    function request(bytes32 feed) external;

    /// @notice Allow or forbid reporters; the quorum must stay within their number.
    function setReporters(address[] calldata accounts, bool allowed, uint8 quorum) external;

    /// @notice Open a feed that reporters answer.
    /// @return aggregator where contracts read it as Chainlink's
    function addFeed(bytes32 feed, string calldata description, uint8 decimals, uint32 maxAge)
        external
        returns (address aggregator);

    /// @notice Read a feed from a Chainlink aggregator instead; zero returns to the reporters.
    function setSource(bytes32 feed, AggregatorV3Interface source) external;

    /// @notice Change after how many seconds an answer is stale.
    function setMaxAge(bytes32 feed, uint32 maxAge) external;

    /// @notice The newest answer; reverts when it is stale.
    function read(bytes32 feed) external view returns (int256 answer, uint256 updatedAt);

    /// @notice One answer that the reporters gave, stale or not.
    /// @param roundId 0 for the newest
    function answerAt(bytes32 feed, uint64 roundId)
        external
        view
        returns (uint64 id, int192 answer, uint64 updatedAt);

    /// @notice Accepted transactions so far, over all feeds and batches.
    function latestRound() external view returns (uint64);
}
