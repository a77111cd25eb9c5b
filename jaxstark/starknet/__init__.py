"""Starknet: pack a verified proof, record it on the chain, and read the record back.

Packing needs the package alone; everything that talks to a node or signs needs the extra
``starknet``, which is imported where it is used. docs/starknet.md has formats, levels and costs.
"""
