"""The report: what one scan says, as a plain document and as what people read."""
