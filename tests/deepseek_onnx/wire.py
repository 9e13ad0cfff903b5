"""Protobuf by hand, for messages that no library would write."""


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def head(number: int, nbytes: int) -> bytes:
    return varint(number << 3 | 2) + varint(nbytes)


def field(number: int, content: bytes) -> bytes:
    return head(number, len(content)) + content


def nested_ifs(depth: int, content: bytes) -> bytes:
    """A model of If in If; the innermost graph is `content`, which is copied once."""
    name, node = field(1, b"then_branch"), field(1, b"flag") + field(2, b"y") + field(4, b"If")
    after_branch, after_node = b"\xa0\x01\x05", field(2, b"inner") + field(12, field(1, b"y"))
    before: list[bytes] = []
    nbytes = len(content)
    for _ in range(depth):
        branch = name + head(6, nbytes)
        attribute = node + head(5, len(branch) + nbytes + len(after_branch))
        inside = len(attribute) + len(branch) + nbytes + len(after_branch)
        before.append(head(1, inside) + attribute + branch)
        nbytes = len(before[-1]) + nbytes + len(after_branch) + len(after_node)
    graph = b"".join([*reversed(before), content, *[after_branch + after_node] * depth])
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11")
