#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Searches for places: who is found, in which order, how far away and where, to the last digit, beside redis-server.

Random areas over crowds of random places: at the equator, in the cities' latitudes, beside the poles, on both sides of the
date line; areas from nothing to the whole earth. The places differ, so that no two are equally far away. TAP on stdout.

    COMPAT_SEED=7 COMPAT_COUNT=20000 tests/compat/geo_search.py
"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from resp import Closed, encode  # noqa: E402
from servers import OURS, REDIS, Server  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

SEED = int(os.environ.get("COMPAT_SEED", "1"))
COUNT = int(os.environ.get("COMPAT_COUNT", "600"))  # searches of each crowd
LAT_MAX = 85.05112878
UNITS = {"m": 1.0, "km": 1000.0, "ft": 0.3048, "mi": 1609.34}
# crowd: middle, half its width and height in degrees, places; the last ones are a listpack
CROWDS = {
    "all over the earth": (0, 0, 180, LAT_MAX, 3000),
    "at the equator": (20, 0, 3, 3, 1500),
    "a country": (14, 37.5, 2, 2, 1500),
    "a town": (-0.12, 51.5, 0.1, 0.1, 1500),
    "the date line": (180, -17, 4, 4, 1500),
    "the north": (30, 84, 60, 2, 1500),
    "the south": (-170, -84.5, 60, 1, 1500),
    "a few": (14, 37.5, 2, 2, 100),
}


PONG = b"+PONG\r\n"


def reply(client, words):
    """Its bytes as they come: a tree of each would be most of the test's time."""
    client.send(encode(words) + b"PING\r\n")
    got = bytearray()
    while not got.endswith(PONG):
        more = client.sock.recv(1 << 16)
        if not more:
            raise Closed()
        got += more
    return bytes(got[:-len(PONG)])


def within(v, most):
    return max(-most, min(most, v))


def place(dice, crowd):
    lon, lat, width, height, _ = crowd
    lon += dice.uniform(-width, width)
    return (lon + 180) % 360 - 180, within(lat + dice.uniform(-height, height), LAT_MAX)


def number(v):
    return "%.17g" % v


def add(dice, crowd):
    words = ["GEOADD", "places"]
    for i in range(crowd[-1]):
        lon, lat = place(dice, crowd)
        words += [number(lon), number(lat), str(i) if i % 3 else "place:%d" % i]  # numbers are another thing in listpacks
    return words


def size(dice, crowd, unit):
    """Mostly of the crowd's own extent; now and then anything."""
    degrees = max(crowd[2], crowd[3]) * 10 ** dice.uniform(-2, 0.3) if dice.random() < 0.9 else 10 ** dice.uniform(-9, 3)
    return number(degrees * 111000 / UNITS[unit]) if dice.random() < 0.98 else dice.choice(["0", "1e300", "inf", "40000000"])


def search(dice, crowd):
    unit, words = dice.choice(list(UNITS)), ["GEOSEARCH", "places"]
    if dice.random() < 0.3:
        at = dice.randrange(crowd[-1])
        words += ["FROMMEMBER", str(at) if at % 3 else "place:%d" % at]
    else:
        words += ["FROMLONLAT", *map(number, place(dice, crowd))]
    if dice.random() < 0.5:
        words += ["BYRADIUS", size(dice, crowd, unit), unit]
    else:
        words += ["BYBOX", size(dice, crowd, unit), size(dice, crowd, unit), unit]
    order = dice.choice([[], ["ASC"], ["DESC"]])
    if dice.random() < 0.5:
        # Of no order redis-server shows those within COUNT as ANY finds them.
        words += ["COUNT", str(dice.choice([1, 2, 3, 7, 10, 50, 1000]))] + (["ANY"] if dice.random() < 0.3 else [])
    words += order
    for word in ("WITHDIST", "WITHCOORD", "WITHHASH"):
        if dice.random() < 0.6:
            words.append(word)
    return words


def edges(theirs, dice):
    """Circles and boxes that end exactly where a place is, as redis-server tells its distance: within by a bit, or not."""
    a, b = dice.sample(range(0, 100, 3), 2)
    far = theirs.call("GEODIST", "places", "place:%d" % a, "place:%d" % b).text().decode()
    words = ["GEOSEARCH", "places", "FROMMEMBER", "place:%d" % a]
    if dice.random() < 0.5:
        return words + ["BYRADIUS", far, "m", "ASC"]
    return words + ["BYBOX", number(2 * float(far)), dice.choice([number(2 * float(far)), "1e9"]), "m", "ASC", "WITHDIST"]


def compare(ours, theirs, name, crowd):
    dice = random.Random("%d %s" % (SEED, name))
    first = add(dice, crowd)
    notes, found = [], 0
    for client in (ours, theirs):
        client.call("FLUSHALL")
        client.call(*first)
    for i in range(COUNT):
        words = edges(theirs, dice) if i % 10 == 9 else search(dice, crowd)
        got, want = reply(ours, words), reply(theirs, words)
        found += len(want) > 20
        if got != want and len(notes) < 4:
            notes += [" ".join(words), "ours:  %r" % got[:500], "redis: %r" % want[:500]]
    if found < COUNT // 4:
        notes.append("only %d searches found anything: the test is blind" % found)
    return notes


def main():
    if not os.access(REDIS, os.X_OK):
        skip_all("no redis-server")
    tap = Tap()
    with Server(OURS) as one, Server(REDIS) as other:
        ours, theirs = one.client(60.0), other.client(60.0)
        for name, crowd in CROWDS.items():
            notes = compare(ours, theirs, name, crowd)
            tap.ok(not notes, "searches, %s (seed %d)" % (name, SEED), notes)
    tap.done()


if __name__ == "__main__":
    main()
