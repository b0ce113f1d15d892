"""What lab/compare and its experiments share."""
