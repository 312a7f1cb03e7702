// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Messages signed after EIP-712, for one contract on one chain.
/// @dev OpenZeppelin's EIP712 does the same and more, and needs MCOPY, which chains before Cancun do
/// not have.
abstract contract TypedData {
    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    bytes32 private immutable _name;
    bytes32 private immutable _version;

    constructor(string memory name, string memory version) {
        _name = keccak256(bytes(name));
        _version = keccak256(bytes(version));
    }

    /// @notice The EIP-712 domain that messages are signed for. It is computed each time, because the
    /// chain's id changes where a chain splits.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, _name, _version, block.chainid, address(this)));
    }

    /// @dev Reverts for a signature that is of nobody.
    function _signer(bytes32 domain, bytes32 structHash, bytes calldata signature)
        internal
        pure
        returns (address)
    {
        return ECDSA.recover(keccak256(abi.encodePacked(hex"1901", domain, structHash)), signature);
    }
}
