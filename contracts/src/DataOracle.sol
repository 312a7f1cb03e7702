// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {DataFeed} from "./DataFeed.sol";
import {AggregatorV3Interface} from "./interfaces/IAggregatorV3.sol";
import {IDataOracle} from "./interfaces/IDataOracle.sol";
import {TypedData} from "./TypedData.sol";

/// @title The oracle: see IDataOracle for what it promises.
/// @dev Loops run over reports, at most MAX_REPORTERS, and over that many accounts.
contract DataOracle is IDataOracle, Ownable2Step, TypedData {
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
        uint96 reward;
        int128 minimum;
        int128 maximum;
    }

    struct Answer {
        int192 value;
        uint64 updatedAt;
    }

    struct LatestBatch {
        uint64 number;
        uint64 observedAt;
    }

    /// @notice Bytes of one sample: the buffer's record format.
    uint256 public immutable recordBytes;

    /// @inheritdoc IDataOracle
    uint64 public latestRound;

    /// @notice Reports that a submission carries.
    uint8 public quorum;

    /// @notice How many reporters may lie: the quorum is at least 2 · faults + 1.
    uint8 public faults;

    /// @notice Seconds after which a reporter may be left out.
    uint32 public patience = 30;

    /// @notice What a request costs, in wei.
    uint96 public requestPrice;

    /// @notice The number and time of a source's newest batch.
    mapping(bytes32 source => LatestBatch) public latestBatch;

    /// @notice A feed: its aggregator, terms and outside source.
    mapping(bytes32 feed => Feed) public feeds;

    address[] private _reporters;
    mapping(address reporter => uint256) private _seats; // from 1; 0: no reporter
    mapping(bytes32 feed => mapping(uint64 roundId => Answer)) private _answers;

    /// @param owner_ who changes reporters, quorum and sources
    /// @param features features of a sample, as the buffer's
    constructor(address owner_, uint8 features) Ownable(owner_) TypedData("DataOracle", "1") {
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
        roundId = feed_.latestRoundId + 1;
        Answer memory answer = _median(feed, feed_, roundId, reports);
        uint64 previous = _answers[feed][roundId - 1].updatedAt;
        if (answer.updatedAt < previous) {
            revert DataOracleTimeRunsBackwards(answer.updatedAt, previous);
        }
        feed_.latestRoundId = roundId;
        _answers[feed][roundId] = answer;
        emit Answered(feed, roundId, ++latestRound, answer.value, answer.updatedAt);
        _pay(feed_);
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
        LatestBatch storage latest = latestBatch[source];
        if (number != latest.number + 1) {
            revert DataOracleWrongBatchNumber(number, latest.number + 1);
        }
        _checkTime(observedAt, MAX_BATCH_AGE);
        if (observedAt < latest.observedAt) {
            revert DataOracleTimeRunsBackwards(observedAt, latest.observedAt);
        }
        bytes32 hash =
            keccak256(abi.encode(BATCH_TYPEHASH, source, number, observedAt, keccak256(samples)));
        bytes32 domain = domainSeparator();
        uint256 next = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            next = _checkSigner(domain, hash, signatures[i], 0, next);
        }
        (latest.number, latest.observedAt) = (number, observedAt);
        round = ++latestRound;
        emit Samples(round, source, observedAt, samples);
    }

    /// @inheritdoc IDataOracle
    function request(bytes32 feed) external payable {
        Feed storage feed_ = _feed(feed);
        if (address(feed_.source) != address(0)) {
            revert DataOracleFeedIsExternal(feed, address(feed_.source));
        }
        if (msg.value != requestPrice) revert DataOracleWrongPrice(msg.value, requestPrice);
        feed_.reward += requestPrice;
        emit Requested(feed, msg.sender);
    }

    /// @inheritdoc IDataOracle
    function setReporters(address[] calldata accounts, bool allowed, uint8 quorum_, uint8 faults_)
        external
        onlyOwner
    {
        if (accounts.length > MAX_REPORTERS) {
            revert DataOracleTooManyReporters(accounts.length, MAX_REPORTERS);
        }
        for (uint256 i = 0; i < accounts.length; ++i) {
            address account = accounts[i];
            if (account == address(0)) revert DataOracleBadArgument();
            if (isReporter(account) == allowed) continue;
            if (allowed) _seat(account);
            else _unseat(account);
            emit ReporterChanged(account, allowed);
        }
        uint256 count = _reporters.length;
        if (count > MAX_REPORTERS) revert DataOracleTooManyReporters(count, MAX_REPORTERS);
        if (quorum_ == 0 || quorum_ > count || quorum_ < 2 * uint256(faults_) + 1) {
            revert DataOracleBadQuorum(quorum_, faults_, count);
        }
        (quorum, faults) = (quorum_, faults_);
        emit QuorumChanged(quorum_, faults_);
    }

    /// @inheritdoc IDataOracle
    function setPatience(uint32 patience_) external onlyOwner {
        patience = patience_;
        emit PatienceChanged(patience_);
    }

    /// @inheritdoc IDataOracle
    function setRequestPrice(uint96 price) external onlyOwner {
        requestPrice = price;
        emit RequestPriceChanged(price);
    }

    /// @inheritdoc IDataOracle
    function addFeed(
        bytes32 feed,
        string calldata description,
        uint8 decimals,
        uint32 maxAge,
        int128 minimum,
        int128 maximum
    ) external onlyOwner returns (address aggregator) {
        Feed storage feed_ = feeds[feed];
        if (address(feed_.aggregator) != address(0)) revert DataOracleFeedExists(feed);
        if (maxAge == 0 || minimum > maximum) revert DataOracleBadArgument();
        feed_.aggregator = new DataFeed(feed, description, decimals);
        (feed_.maxAge, feed_.minimum, feed_.maximum) = (maxAge, minimum, maximum);
        aggregator = address(feed_.aggregator);
        emit FeedChanged(feed, aggregator, address(0), maxAge);
    }

    /// @inheritdoc IDataOracle
    function setSource(bytes32 feed, AggregatorV3Interface source) external onlyOwner {
        Feed storage feed_ = _feed(feed);
        if (address(source) != address(0)) {
            uint8 expected = feed_.aggregator.decimals();
            uint8 found = source.decimals();
            if (found != expected) revert DataOracleWrongDecimals(found, expected);
        }
        feed_.source = source;
        emit FeedChanged(feed, address(feed_.aggregator), address(source), feed_.maxAge);
    }

    /// @inheritdoc IDataOracle
    function setMaxAge(bytes32 feed, uint32 maxAge) external onlyOwner {
        Feed storage feed_ = _feed(feed);
        if (maxAge == 0) revert DataOracleBadArgument();
        feed_.maxAge = maxAge;
        emit FeedChanged(feed, address(feed_.aggregator), address(feed_.source), maxAge);
    }

    /// @inheritdoc IDataOracle
    function read(bytes32 feed) external view returns (int256 answer, uint256 updatedAt) {
        Feed storage feed_ = _feed(feed);
        uint80 roundId;
        uint80 answeredInRound;
        // `startedAt` tells nothing that `updatedAt` does not.
        // slither-disable-next-line unused-return
        (roundId, answer,, updatedAt, answeredInRound) = feed_.aggregator.latestRoundData();
        if (updatedAt == 0 || answeredInRound < roundId) {
            revert DataOracleIncompleteRound(feed, roundId, answeredInRound);
        }
        _checkBounds(feed, feed_, answer);
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

    /// @inheritdoc IDataOracle
    function sourceOf(bytes32 feed) external view returns (AggregatorV3Interface) {
        return feeds[feed].source;
    }

    /// @inheritdoc IDataOracle
    function placeOf(address reporter, uint64 roundId) public view returns (uint256) {
        uint256 seat = _seats[reporter];
        if (seat == 0) revert DataOracleNotAReporter(reporter);
        uint256 count = _reporters.length;
        return (seat - 1 + count - roundId % count) % count;
    }

    /// @inheritdoc IDataOracle
    function reporters() external view returns (address[] memory) {
        return _reporters;
    }

    /// @notice Whether an account may report.
    function isReporter(address account) public view returns (bool) {
        return _seats[account] != 0;
    }

    /// @notice How many may report.
    function reporterCount() external view returns (uint256) {
        return _reporters.length;
    }

    function _feed(bytes32 feed) private view returns (Feed storage feed_) {
        feed_ = feeds[feed];
        if (address(feed_.aggregator) == address(0)) revert DataOracleUnknownFeed(feed);
    }

    function _median(bytes32 feed, Feed storage feed_, uint64 roundId, Report[] calldata reports)
        private
        view
        returns (Answer memory)
    {
        _checkNumber(reports.length);
        int256[] memory values = new int256[](reports.length);
        int256[] memory times = new int256[](reports.length);
        bytes32 domain = domainSeparator();
        uint256 next = 0;
        for (uint256 i = 0; i < reports.length; ++i) {
            Report calldata report = reports[i];
            _checkTime(report.observedAt, feed_.maxAge);
            _checkBounds(feed, feed_, report.answer);
            bytes32 hash = keccak256(
                abi.encode(ANSWER_TYPEHASH, feed, roundId, report.answer, report.observedAt)
            );
            next = _checkSigner(domain, hash, report.signature, roundId, next);
            _insert(values, i, report.answer);
            _insert(times, i, int256(uint256(report.observedAt)));
        }
        _checkLeftOut(next - reports.length, uint256(times[reports.length - 1]));
        uint256 middle = (reports.length - 1) / 2;
        // casting is safe: they were int192 and uint64 before
        // forge-lint: disable-next-line(unsafe-typecast)
        return Answer(int192(values[middle]), uint64(uint256(times[middle])));
    }

    function _checkNumber(uint256 found) private view {
        if (quorum == 0 || found != quorum) revert DataOracleWrongNumberOfReports(found, quorum);
    }

    function _checkTime(uint64 observedAt, uint256 maxAge) private view {
        // Likewise: a report a few seconds early is refused, and sent again.
        // slither-disable-next-line timestamp
        if (observedAt > block.timestamp || observedAt + maxAge < block.timestamp) {
            revert DataOracleBadTime(observedAt, block.timestamp, maxAge);
        }
    }

    function _checkBounds(bytes32 feed, Feed storage feed_, int256 answer) private view {
        if (answer < feed_.minimum || answer > feed_.maximum) {
            revert DataOracleOutOfBounds(feed, answer, feed_.minimum, feed_.maximum);
        }
    }

    /// @param newest when the newest of the reports given was observed
    function _checkLeftOut(uint256 leftOut, uint256 newest) private view {
        uint256 from = newest + leftOut * patience;
        // slither-disable-next-line timestamp
        if (block.timestamp < from) {
            revert DataOracleLeavesOutReporters(leftOut, from, block.timestamp);
        }
    }

    /// @param next the first place that the signer may have
    /// @return the place after the signer's
    function _checkSigner(
        bytes32 domain,
        bytes32 structHash,
        bytes calldata signature,
        uint64 roundId,
        uint256 next
    ) private view returns (uint256) {
        address signer = _signer(domain, structHash, signature);
        uint256 place = placeOf(signer, roundId);
        if (place < next) revert DataOracleUnsortedReports(signer, place);
        return place + 1;
    }

    function _seat(address account) private {
        _reporters.push(account);
        _seats[account] = _reporters.length;
    }

    /// @dev The last reporter takes the seat.
    function _unseat(address account) private {
        uint256 seat = _seats[account];
        address last = _reporters[_reporters.length - 1];
        _reporters[seat - 1] = last;
        _seats[last] = seat;
        _seats[account] = 0;
        // at most MAX_REPORTERS times
        // slither-disable-next-line costly-loop
        _reporters.pop();
    }

    /// @dev Last of all, because the receiver may call back.
    function _pay(Feed storage feed_) private {
        uint256 reward = feed_.reward;
        if (reward == 0) return;
        feed_.reward = 0;
        // slither-disable-next-line arbitrary-send-eth,low-level-calls
        (bool paid,) = msg.sender.call{value: reward}("");
        if (!paid) revert DataOracleNotPaid(msg.sender, reward);
    }

    /// @dev Insertion into the sorted first `length` values: at most MAX_REPORTERS of them.
    function _insert(int256[] memory values, uint256 length, int256 value) private pure {
        uint256 place = length;
        while (place > 0 && values[place - 1] > value) {
            values[place] = values[place - 1];
            --place;
        }
        values[place] = value;
    }
}
