"""moestream.py - reads and writes moetools' streams (moe-stream(5)) in Python; needs only msgpack.

    from moestream import Reader, Writer

    reader = Reader()                          # standard input
    writer = Writer("my-filter", reader)       # standard output: the reader's kind, labels and digests
    for record in reader:
        if record["t"] == "rollout":
            record["reward"] = len(record["completion"]) / 10
        writer.put(record)
    writer.end()

It never waits for a full buffer, so it may stand in the live loop between moe-rollout and moe-train: what has arrived is read at
once, and a record of type "step" sends what was written. A stream that ends without its end record, or whose count or checksum
is wrong, raises Truncated or Damaged: let it end the program, so that nothing downstream takes a part for the whole.
Text that is not UTF-8 comes as str with surrogates, and goes out as the same bytes.
"""
import hashlib
import os
import sys

import msgpack

MAGIC = "MOES\r\n\x1a\n"
TAINT = ["none", "synthetic", "oracle"]


class Damaged(Exception):
    pass


class Truncated(Damaged):
    pass


def pack(value):
    return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")


class Reader:
    """Iterates over the records of all segments. header: the map of the current segment; digests: of the segments that ended;
    labels: the highest taint seen so far."""

    def __init__(self, fd=0):
        self.fd = fd
        self.digests = []
        self.labels = "none"
        self.header = None
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=True, unicode_errors="surrogateescape", max_buffer_size=1 << 28)
        self._sha = hashlib.sha256()
        self._unhashed = bytearray()  # bytes that were fed, from position _start of the stream on
        self._start = 0
        self._count = 0
        self._ended = False
        self._header()

    def _object(self):
        """The next value, or None at the end of the input. Reads only when nothing whole is there."""
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                data = os.read(self.fd, 1 << 16)
                if not data:
                    return None
                self._unhashed += data
                self._unpacker.feed(data)

    def _hash(self):
        """Takes what was unpacked so far into the checksum."""
        n = self._unpacker.tell() - self._start
        self._sha.update(self._unhashed[:n])
        del self._unhashed[:n]
        self._start += n

    def _header(self):
        magic = self._object()
        if magic is None:
            self._ended = True
            return
        if magic != MAGIC:
            raise Damaged("not a moetools stream: it does not begin with the magic")
        self.header = self._object()
        if not isinstance(self.header, dict) or "kind" not in self.header:
            raise Damaged("the header is not a map with a kind")
        self._raise(self.header.get("labels", "none"))
        self._hash()

    def _raise(self, labels):
        self.labels = max(self.labels, labels, key=TAINT.index)

    def __iter__(self):
        while not self._ended:
            record = self._object()
            if record is None:
                raise Truncated("the stream ends after record %d without its end: the program before this one died" % self._count)
            if not isinstance(record, dict) or "t" not in record:
                raise Damaged("record %d is not a map with the key t" % self._count)
            if record["t"] != "end":
                self._hash()
                self._count += 1
                yield record
                continue
            digest = self._sha.hexdigest()
            if record.get("n") != self._count or record.get("sha256") not in (None, digest):
                raise Damaged("the end says %s records and %s: there were %d, and %s" % (record.get("n"), record.get("sha256"), self._count, digest))
            self._raise(record.get("labels", "none"))
            self.digests.append(digest)
            self._sha, self._count = hashlib.sha256(), 0
            n = self._unpacker.tell() - self._start  # the end map itself belongs to no checksum
            del self._unhashed[:n]
            self._start += n
            self._header()


class Writer:
    """Writes one segment. reader: where kind, seed and labels come from, and whose digests the end names; kind: without one."""

    def __init__(self, tool, reader=None, kind=None, labels="none", fd=1):
        self.fd = fd
        self.reader = reader
        self.labels = labels
        self._sha = hashlib.sha256()
        self._buffer = bytearray()
        self._count = 0
        header = dict(reader.header) if reader and reader.header else {"v": [1, 0], "kind": kind}
        header.update(tool=tool, argv=sys.argv, labels=max(labels, reader.labels if reader else "none", key=TAINT.index))
        self._add(pack(MAGIC) + pack(header))
        self.flush()

    def _add(self, data):
        self._sha.update(data)
        self._buffer += data

    def put(self, record):
        first = {"t": record["t"]}  # by convention the type comes first
        self._add(pack({**first, **record}))
        self._count += 1
        if record["t"] == "step" or len(self._buffer) > 1 << 16:
            self.flush()

    def flush(self):
        while self._buffer:
            del self._buffer[: os.write(self.fd, self._buffer)]

    def end(self):
        """Call it last, once the reader is through: without an end the next program refuses the stream."""
        labels = max(self.labels, self.reader.labels if self.reader else "none", key=TAINT.index)
        end = {"t": "end", "n": self._count, "sha256": self._sha.hexdigest(), "from": self.reader.digests if self.reader else [], "labels": labels}
        self._buffer += pack(end)
        self.flush()
