"""Protobuf by hand, for messages that no library would write."""


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def nested_ifs(depth: int, content: bytes) -> bytes:
    """A model of If in If; the innermost graph is `content`."""
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, content) + b"\xa0\x01\x05"
        node = field(1, b"flag") + field(2, b"y") + field(4, b"If") + field(5, attribute)
        content = field(1, node) + field(2, b"inner") + field(12, field(1, b"y"))
    return b"\x08\x08" + field(7, content) + field(8, b"\x10\x11")
