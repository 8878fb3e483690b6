#!/usr/bin/env python3
"""length.py - a filter of one's own: takes a little of the reward for every token of a completion. It may stand in the live loop.

    moe-rollout ... | moe-grade -e env.lua | python3 length.py 0.01 | moe-route ... | moe-train ...
"""
import sys

from moestream import Reader, Writer

price = float(sys.argv[1]) if len(sys.argv) > 1 else 0.01
reader = Reader()
writer = Writer("length.py", reader)
for record in reader:
    if record["t"] == "rollout" and "reward" in record:
        cost = price * record["completion_ids"]["shape"][0]
        record["reward"] -= cost
        record.setdefault("rewards", {})["length"] = -cost
    writer.put(record)
writer.end()
