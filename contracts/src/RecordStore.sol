// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Bytes kept as the code of a contract that does nothing.
/// @notice Code costs 200 gas a byte to store, against about 690 in storage slots, and any part of it
/// can be read with one instruction.
/// @dev The stored code is a STOP instruction followed by the data, so that calling it does nothing.
library RecordStore {
    /// @notice Code size limit (EIP-170) less the STOP in front.
    uint256 internal constant MAX_BYTES = 24_575;

    /// @dev Creation code: return all that follows these ten bytes. RETURNDATASIZE stands for a zero,
    /// because chains before Shanghai have no PUSH0.
    /// PUSH2 size · DUP1 · PUSH1 10 · RETURNDATASIZE · CODECOPY · RETURNDATASIZE · RETURN
    function _creationCode(bytes calldata data) private pure returns (bytes memory) {
        // casting is safe: callers keep data within MAX_BYTES
        // forge-lint: disable-next-line(unsafe-typecast)
        return abi.encodePacked(hex"61", uint16(data.length + 1), hex"80600a3d393df300", data);
    }

    /// @notice Store `data`, at most MAX_BYTES.
    /// @return store its address; zero if the creation failed
    function write(bytes calldata data) internal returns (address store) {
        bytes memory code = _creationCode(data);
        // Solidity has no words for creating raw code.
        // slither-disable-next-line assembly
        assembly ("memory-safe") {
            store := create(0, add(code, 32), mload(code))
        }
    }

    /// @notice Read `length` bytes from `offset`; the caller knows that they exist.
    function read(address store, uint256 offset, uint256 length)
        internal
        view
        returns (bytes memory data)
    {
        data = new bytes(length);
        // `address.code` copies all of it; here only a part is wanted.
        // slither-disable-next-line assembly
        assembly ("memory-safe") {
            extcodecopy(store, add(data, 32), add(offset, 1), length)
        }
    }
}
