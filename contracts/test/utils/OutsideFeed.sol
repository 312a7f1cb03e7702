// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {AggregatorV3Interface} from "../../src/interfaces/IAggregatorV3.sol";

/// @title A feed outside whose answers the test sets.
contract OutsideFeed is AggregatorV3Interface {
    uint8 public decimals = 2;
    string public constant description = "outside";
    uint256 public constant version = 1;
    uint80 private _roundId;
    int256 private _answer;
    uint256 private _updatedAt;
    uint80 private _answeredInRound;

    function setDecimals(uint8 decimals_) external {
        decimals = decimals_;
    }

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
