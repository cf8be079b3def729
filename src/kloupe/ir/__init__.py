"""The compiler's middle: operations on virtual registers in basic blocks."""
