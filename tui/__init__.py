"""The Textual application: reads reports and cases, never the bytes of a format."""
