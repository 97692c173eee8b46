"""Taking what matters off a disk: dumps, byte for byte, and artefacts in a zip with a list of their digests.

Nothing here prints; the image is only read, and nothing that exists is ever written over.
"""
