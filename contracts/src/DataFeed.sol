// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {AggregatorV3Interface} from "./interfaces/IAggregatorV3.sol";
import {IDataOracle} from "./interfaces/IDataOracle.sol";

/// @title One feed of the oracle, at an address of its own, read as Chainlink's feeds are.
contract DataFeed is AggregatorV3Interface {
    /// @inheritdoc AggregatorV3Interface
    uint256 public constant version = 1;

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
        if (roundId == 0 || roundId > type(uint64).max) {
            revert IDataOracle.DataOracleNoAnswer(feed, roundId);
        }
        // casting is safe: checked above
        // forge-lint: disable-next-line(unsafe-typecast)
        return _round(uint64(roundId));
    }

    /// @inheritdoc AggregatorV3Interface
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return _round(0);
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
