# SPDX-License-Identifier: MIT
"""What may differ between two right replies, taken out of them.

Each function gets a reply (resp.Node) and returns one that is the same for all right answers: the order of a set's members, a
cursor, the milliseconds of a TTL. A directive of a case line (`@unordered SMEMBERS s`) names one of them.
"""
import re

from resp import Node


def pairs_of(kids):
    return [kids[i:i + 2] for i in range(0, len(kids), 2)]


def raw_of(group):
    return b"".join(k.raw() for k in group)


def sort_pairs(node):
    """HGETALL: the pairs in the order of their bytes."""
    groups = sorted(pairs_of(node.kids), key=raw_of)
    return Node(node.head, node.body, [k for g in groups for k in g])


def unordered(node):
    """SMEMBERS, KEYS: the elements in the order of their bytes (a map's: its pairs)."""
    if node.kind in b"%|":
        return sort_pairs(node)
    return Node(node.head, node.body, sorted(node.kids, key=Node.raw))


def deep(node):
    """Every aggregate inside, too."""
    return unordered(Node(node.head, node.body, [deep(k) for k in node.kids]))


def scan(node):
    """[cursor, elements]: the cursor only as zero or not, the elements sorted."""
    if len(node.kids) != 2:
        return node
    cursor = Node(b"+end\r\n" if node.kids[0].text() == b"0" else b"+more\r\n")
    return Node(node.head, node.body, [cursor, unordered(node.kids[1])])


def shape(node):
    """Types only: no payload, no length of strings."""
    if node.kids or node.kind in b"*~%>":
        return Node(node.head, b"", [shape(k) for k in node.kids])
    return Node(node.kind + b"\r\n")


def code(node):
    """Of an error only its first word."""
    return Node(node.head.split(b" ")[0] + b"\r\n") if node.is_error() else node


def count(node):
    """How many elements, whichever they are (SRANDMEMBER)."""
    if node.kids:
        return Node(node.head)
    return Node(node.kind + b"\r\n") if node.kind == b"$" and node.body else node


def numbers(text):
    """A reply's text with each number replaced: for sizes and addresses inside it."""
    return re.sub(rb"[0-9]+", b"N", text)


def words(node):
    """The lines of a text, numbers hidden (CLIENT INFO)."""
    return Node(b"+" + numbers(node.text()) + b"\r\n")


NEW_NAMES = {b"lib-name", b"lib-ver"} # 7.2 added them


def names(node):
    """Of `name=value` words the names, sorted (CLIENT LIST)."""
    found = sorted(set(re.findall(rb"([a-z-]+)=", node.text())) - NEW_NAMES)
    return Node(b"+" + b" ".join(found) + b"\r\n")


def drop(keys):
    """A map without the values of these keys (HELLO's version and id)."""
    wanted = [k.encode() for k in keys.split(",")]

    def apply(node):
        kids = []
        for group in pairs_of(node.kids):
            kids += group[:1] if group[0].text() in wanted else group
        return Node(node.head, node.body, kids)
    return apply


# Fields of a client in an entry of ACL LOG that are the same wherever it ran.
CLIENT_FIELDS = rb"(?<![\w-])(?:name|flags|db|sub|psub|ssub|multi|cmd|user|resp)=\S*"


def acllog(node):
    """ACL LOG: entries without times, of their numbers (which 7.2 added) and of their clients what does not differ from run to run."""
    def entry(one):
        kids = []
        for group in pairs_of(one.kids):
            name = group[0].text() if len(group) == 2 else b""
            if name == b"client-info":
                kids += [group[0], Node(b"+" + b" ".join(re.findall(CLIENT_FIELDS, group[1].text())) + b"\r\n")]
            elif name not in (b"age-seconds", b"entry-id", b"timestamp-created", b"timestamp-last-updated"):
                kids += group
        return Node(b"%" if one.kids else one.head, one.body, kids)
    return Node(node.head, node.body, [entry(kid) for kid in node.kids])


VARIABLE = re.compile(rb"(?:local|global|field|upvalue|method|constant) '[^']*' \((a \w+ value)\)")


def lua(node):
    """Of what a script replies: an error does not tell how the variable was called that held the wrong value, which LuaJIT tells less often, nor
    has it a newline, which 7.2.4 lets through."""
    if node.kids:
        return Node(node.head, node.body, [lua(kid) for kid in node.kids])
    if node.body:
        text = VARIABLE.sub(rb"\1", node.text())
        return Node(b"$%d\r\n" % len(text) if node.kind == b"$" else node.head, text + b"\r\n")
    text = VARIABLE.sub(rb"\1", node.text())
    return Node(node.kind + text.replace(b"\n", b" ") + b"\r\n")


PLAIN = {"unordered": unordered, "pairs": sort_pairs, "deep": deep, "scan": scan, "shape": shape, "code": code,
         "count": count, "words": words, "acllog": acllog, "names": names, "lua": lua, "ignore": lambda node: Node(b"+ignored\r\n")}


def near(a, b, tolerance):
    """Integers, at any depth, that differ by at most tolerance; anything else must be equal."""
    if a.kids and a.head == b.head:
        return all(near(x, y, tolerance) for x, y in zip(a.kids, b.kids))
    try:
        if a.kind == b.kind and a.kind in b":$":
            return abs(int(a.text()) - int(b.text())) <= tolerance
    except ValueError:
        pass
    return a.raw() == b.raw()
