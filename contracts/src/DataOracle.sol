// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {DataFeed} from "./DataFeed.sol";
import {AggregatorV3Interface} from "./interfaces/IAggregatorV3.sol";
import {IDataOracle} from "./interfaces/IDataOracle.sol";

/// @title The oracle: see IDataOracle for what it promises.
/// @dev Loops run over reports, at most MAX_REPORTERS, and over that many accounts.
contract DataOracle is IDataOracle, Ownable2Step, EIP712 {
    /// @notice Bound of the loops over reports: 31 signatures cost about 0.4 M gas.
    uint256 public constant MAX_REPORTERS = 31;

    /// @notice Longest batch; about 1 M gas.
    uint256 public constant MAX_BATCH_BYTES = 24_576;

    /// @notice A batch must have been observed within this many seconds.
    uint256 public constant MAX_BATCH_AGE = 7 days;

    /// @notice What a reporter signs for a feed.
    bytes32 public constant ANSWER_TYPEHASH =
        keccak256("Answer(bytes32 feed,uint64 roundId,int192 answer,uint64 observedAt)");

    /// @notice What a reporter signs for a batch.
    bytes32 public constant BATCH_TYPEHASH =
        keccak256("Batch(bytes32 source,uint64 number,uint64 observedAt,bytes32 samplesHash)");

    struct Feed {
        DataFeed aggregator;
        uint32 maxAge;
        uint64 latestRoundId;
        AggregatorV3Interface source;
    }

    struct Answer {
        int192 value;
        uint64 updatedAt;
    }

    /// @notice Bytes of one sample: the buffer's record format.
    uint256 public immutable recordBytes;

    /// @inheritdoc IDataOracle
    uint64 public latestRound;

    /// @notice Reports that a submission needs.
    uint8 public quorum;

    /// @notice How many may report.
    uint8 public reporterCount;

    /// @notice Who may report.
    mapping(address account => bool) public isReporter;

    /// @notice The number of a source's newest batch.
    mapping(bytes32 source => uint64) public latestBatch;

    /// @notice A feed: its aggregator, limits and outside source.
    mapping(bytes32 feed => Feed) public feeds;

    mapping(bytes32 feed => mapping(uint64 roundId => Answer)) private _answers;

    /// @param owner_ who changes reporters, quorum and sources
    /// @param features features of a sample, as the buffer's
    constructor(address owner_, uint8 features) Ownable(owner_) EIP712("DataOracle", "1") {
        if (features == 0) revert DataOracleBadArgument();
        recordBytes = 5 + 2 * uint256(features);
    }

    /// @inheritdoc IDataOracle
    function submitAnswer(bytes32 feed, Report[] calldata reports)
        external
        returns (uint64 roundId)
    {
        Feed storage feed_ = _feed(feed);
        if (address(feed_.source) != address(0)) {
            revert DataOracleFeedIsExternal(feed, address(feed_.source));
        }
        _checkNumber(reports.length);
        roundId = feed_.latestRoundId + 1;
        int192[] memory values = new int192[](reports.length);
        uint64 oldest = type(uint64).max;
        address previous = address(0);
        for (uint256 i = 0; i < reports.length; ++i) {
            Report calldata report = reports[i];
            _checkTime(report.observedAt, feed_.maxAge);
            bytes32 hash = keccak256(
                abi.encode(ANSWER_TYPEHASH, feed, roundId, report.answer, report.observedAt)
            );
            previous = _checkSigner(hash, report.signature, previous);
            if (report.observedAt < oldest) oldest = report.observedAt;
            _insert(values, i, report.answer);
        }
        int192 answer = _median(values);
        feed_.latestRoundId = roundId;
        _answers[feed][roundId] = Answer(answer, oldest);
        emit Answered(feed, roundId, ++latestRound, answer, oldest);
    }

    /// @inheritdoc IDataOracle
    function submitBatch(
        bytes32 source,
        uint64 number,
        uint64 observedAt,
        bytes calldata samples,
        bytes[] calldata signatures
    ) external returns (uint64 round) {
        _checkNumber(signatures.length);
        if (
            samples.length == 0 || samples.length > MAX_BATCH_BYTES
                || samples.length % recordBytes != 0
        ) {
            revert DataOracleBadBatch(samples.length, recordBytes, MAX_BATCH_BYTES);
        }
        uint64 expected = latestBatch[source] + 1;
        if (number != expected) revert DataOracleWrongBatchNumber(number, expected);
        _checkTime(observedAt, MAX_BATCH_AGE);
        bytes32 hash =
            keccak256(abi.encode(BATCH_TYPEHASH, source, number, observedAt, keccak256(samples)));
        address previous = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            previous = _checkSigner(hash, signatures[i], previous);
        }
        latestBatch[source] = number;
        round = ++latestRound;
        emit Samples(round, source, observedAt, samples);
    }

    /// @inheritdoc IDataOracle
    function request(bytes32 feed) external {
        emit Requested(feed, msg.sender);
    }

    /// @inheritdoc IDataOracle
    function setReporters(address[] calldata accounts, bool allowed, uint8 quorum_)
        external
        onlyOwner
    {
        if (accounts.length > MAX_REPORTERS) {
            revert DataOracleTooManyReporters(accounts.length, MAX_REPORTERS);
        }
        uint256 count = reporterCount;
        for (uint256 i = 0; i < accounts.length; ++i) {
            address account = accounts[i];
            if (account == address(0)) revert DataOracleBadArgument();
            if (isReporter[account] == allowed) continue;
            isReporter[account] = allowed;
            count = allowed ? count + 1 : count - 1;
            emit ReporterChanged(account, allowed);
        }
        if (count > MAX_REPORTERS) revert DataOracleTooManyReporters(count, MAX_REPORTERS);
        if (quorum_ == 0 || quorum_ > count) revert DataOracleBadQuorum(quorum_, count);
        // casting is safe: at most MAX_REPORTERS
        // forge-lint: disable-next-line(unsafe-typecast)
        reporterCount = uint8(count);
        quorum = quorum_;
        emit QuorumChanged(quorum_);
    }

    /// @inheritdoc IDataOracle
    function addFeed(bytes32 feed, string calldata description, uint8 decimals, uint32 maxAge)
        external
        onlyOwner
        returns (address aggregator)
    {
        if (address(feeds[feed].aggregator) != address(0)) revert DataOracleFeedExists(feed);
        if (maxAge == 0) revert DataOracleBadArgument();
        feeds[feed].aggregator = new DataFeed(feed, description, decimals);
        feeds[feed].maxAge = maxAge;
        aggregator = address(feeds[feed].aggregator);
        emit FeedChanged(feed, aggregator, maxAge);
    }

    /// @inheritdoc IDataOracle
    function setSource(bytes32 feed, AggregatorV3Interface source) external onlyOwner {
        Feed storage feed_ = _feed(feed);
        feed_.source = source;
        bool outside = address(source) != address(0);
        emit FeedChanged(feed, outside ? address(source) : address(feed_.aggregator), feed_.maxAge);
    }

    /// @inheritdoc IDataOracle
    function setMaxAge(bytes32 feed, uint32 maxAge) external onlyOwner {
        Feed storage feed_ = _feed(feed);
        if (maxAge == 0) revert DataOracleBadArgument();
        feed_.maxAge = maxAge;
        emit FeedChanged(feed, address(feed_.aggregator), maxAge);
    }

    /// @inheritdoc IDataOracle
    function read(bytes32 feed) external view returns (int256 answer, uint256 updatedAt) {
        Feed storage feed_ = _feed(feed);
        AggregatorV3Interface source =
            address(feed_.source) == address(0) ? feed_.aggregator : feed_.source;
        uint80 roundId;
        uint80 answeredInRound;
        // `startedAt` tells nothing that `updatedAt` does not.
        // slither-disable-next-line unused-return
        (roundId, answer,, updatedAt, answeredInRound) = source.latestRoundData();
        if (updatedAt == 0 || answeredInRound < roundId) {
            revert DataOracleIncompleteRound(feed, roundId, answeredInRound);
        }
        // A validator can shift the time by seconds; ages are minutes and more.
        // slither-disable-next-line timestamp
        if (updatedAt + feed_.maxAge < block.timestamp) {
            revert DataOracleStale(feed, updatedAt, feed_.maxAge);
        }
    }

    /// @inheritdoc IDataOracle
    function answerAt(bytes32 feed, uint64 roundId)
        external
        view
        returns (uint64 id, int192 answer, uint64 updatedAt)
    {
        id = roundId == 0 ? feeds[feed].latestRoundId : roundId;
        Answer storage found = _answers[feed][id];
        if (found.updatedAt == 0) revert DataOracleNoAnswer(feed, id);
        return (id, found.value, found.updatedAt);
    }

    /// @notice The EIP-712 domain that reporters sign for.
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    function _feed(bytes32 feed) private view returns (Feed storage feed_) {
        feed_ = feeds[feed];
        if (address(feed_.aggregator) == address(0)) revert DataOracleUnknownFeed(feed);
    }

    function _checkNumber(uint256 found) private view {
        if (quorum == 0 || found < quorum || found > reporterCount) {
            revert DataOracleWrongNumberOfReports(found, quorum, reporterCount);
        }
    }

    function _checkTime(uint64 observedAt, uint256 maxAge) private view {
        // Likewise: a report a few seconds early is refused, and sent again.
        // slither-disable-next-line timestamp
        if (observedAt > block.timestamp || observedAt + maxAge < block.timestamp) {
            revert DataOracleBadTime(observedAt, block.timestamp, maxAge);
        }
    }

    function _checkSigner(bytes32 structHash, bytes calldata signature, address previous)
        private
        view
        returns (address signer)
    {
        signer = ECDSA.recover(_hashTypedDataV4(structHash), signature);
        if (!isReporter[signer]) revert DataOracleNotAReporter(signer);
        if (signer <= previous) revert DataOracleUnsortedReports(signer, previous);
    }

    /// @dev Insertion into the sorted first `length` values: at most MAX_REPORTERS of them.
    function _insert(int192[] memory values, uint256 length, int192 value) private pure {
        uint256 place = length;
        while (place > 0 && values[place - 1] > value) {
            values[place] = values[place - 1];
            --place;
        }
        values[place] = value;
    }

    /// @dev The middle one, or the mean of the middle two rounded towards zero.
    function _median(int192[] memory sorted) private pure returns (int192) {
        uint256 middle = sorted.length / 2;
        if (sorted.length % 2 == 1) return sorted[middle];
        // casting is safe: a mean lies between its two terms
        // forge-lint: disable-next-line(unsafe-typecast)
        return int192((int256(sorted[middle - 1]) + int256(sorted[middle])) / 2);
    }
}
