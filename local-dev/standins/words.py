"""What made-up pages are made of."""

from typing import Final

_TEXT: Final = """
    the a of to in and for with from that this each which when where before after server client request answer
    record table index query page host network address route packet volume disk memory process thread queue
    worker schedule deploy restore backup cluster region tenant account invoice balance limit quota token
    signature secret audit report graph metric trace latency throughput error retry timeout lease lock
    transaction commit replica
"""
WORDS: Final = _TEXT.split()
