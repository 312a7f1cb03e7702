// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {AggregatorV3Interface} from "./interfaces/IAggregatorV3.sol";
import {IDataOracle} from "./interfaces/IDataOracle.sol";

/// @title One feed of the oracle, at an address of its own, read as Chainlink's feeds are.
/// @notice While the oracle's owner has named a source outside, every answer is that source's.
contract DataFeed is AggregatorV3Interface {
    /// @inheritdoc AggregatorV3Interface
    uint256 public constant version = 2;

    /// @notice Where the answers are kept.
    IDataOracle public immutable oracle;

    /// @notice Which feed of the oracle this is.
    bytes32 public immutable feed;

    /// @inheritdoc AggregatorV3Interface
    uint8 public immutable decimals;

    /// @inheritdoc AggregatorV3Interface
    string public description;

    constructor(bytes32 feed_, string memory description_, uint8 decimals_) {
        oracle = IDataOracle(msg.sender);
        feed = feed_;
        description = description_;
        decimals = decimals_;
    }

    /// @inheritdoc AggregatorV3Interface
    function getRoundData(uint80 roundId)
        external
        view
        returns (uint80, int256, uint256, uint256, uint80)
    {
        AggregatorV3Interface source = _source();
        if (address(source) != address(0)) return source.getRoundData(roundId);
        if (roundId == 0 || roundId > type(uint64).max) {
            revert IDataOracle.DataOracleNoAnswer(feed, roundId);
        }
        // casting is safe: checked above
        // forge-lint: disable-next-line(unsafe-typecast)
        return _round(uint64(roundId));
    }

    /// @inheritdoc AggregatorV3Interface
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        AggregatorV3Interface source = _source();
        return address(source) == address(0) ? _round(0) : source.latestRoundData();
    }

    /// @dev A source whose decimals have changed would be read wrongly.
    function _source() private view returns (AggregatorV3Interface source) {
        source = oracle.sourceOf(feed);
        if (address(source) != address(0)) {
            uint8 found = source.decimals();
            if (found != decimals) revert IDataOracle.DataOracleWrongDecimals(found, decimals);
        }
    }

    function _round(uint64 roundId)
        private
        view
        returns (uint80, int256, uint256, uint256, uint80)
    {
        (uint64 id, int192 answer, uint64 updatedAt) = oracle.answerAt(feed, roundId);
        return (id, answer, updatedAt, updatedAt, id);
    }
}
