"""Stack unwinding: from the registers of one frame to those of its caller, with no symbols."""
