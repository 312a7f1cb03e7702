// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title What Chainlink's feeds answer to, so that contracts written for them read ours too.
/// @dev Names, order and types are Chainlink's `AggregatorV3Interface`.
interface AggregatorV3Interface {
    /// @notice Decimal places of an answer: 2 means that 2150 reads as 21.50.
    function decimals() external view returns (uint8);

    /// @notice What is measured, with its unit.
    function description() external view returns (string memory);

    /// @notice Version of the feed's implementation.
    function version() external view returns (uint256);

    /// @notice One past round.
    /// @param roundId a round that was accepted; others revert
    /// @return id the round asked for
    /// @return answer the lower median of the reports
    /// @return startedAt the same as `updatedAt`
    /// @return updatedAt the lower median of the times at which the reports were observed, seconds
    /// @return answeredInRound the round asked for
    function getRoundData(uint80 roundId)
        external
        view
        returns (
            uint80 id,
            int256 answer,
            uint256 startedAt,
            uint256 updatedAt,
            uint80 answeredInRound
        );

    /// @notice The newest round; reverts before the first one.
    function latestRoundData()
        external
        view
        returns (
            uint80 id,
            int256 answer,
            uint256 startedAt,
            uint256 updatedAt,
            uint80 answeredInRound
        );
}
