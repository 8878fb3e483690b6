"""runner.py - runs one model-written program for grader.py, in a process of its own, and reports what happened.

The task comes as JSON on standard input and is read before anything of the model's runs. The report goes to the pipe whose number the
task names. Nothing here is trusted by the strict oracle beyond "these are values that the program computed": what they should be is
known only to grader.py, in another process.
"""
import builtins
import json
import os
import sys

# Kept under names of their own before the program can replace them.
_type, _len, _isinstance, _repr, _exec, _eval, _compile = type, len, isinstance, repr, exec, eval, compile
_dumps, _write, _exit = json.dumps, os.write, os._exit
_BaseException, _SystemExit = BaseException, SystemExit
_None, _bool, _int, _float, _str, _list, _tuple, _dict, _set, _frozenset = (
    _type(None), bool, int, float, str, list, tuple, dict, set, frozenset)


def plain(v, depth=0):
    """v as JSON that keeps exact types; anything but plain built-in values (a subclass of int as well) becomes {"o": its type}."""
    t = _type(v)
    if depth > 50:
        return {"o": "too deep"}
    if t is _None or t is _bool or t is _str:
        return v
    if t is _int:
        return {"i": hex(v)}
    if t is _float:
        return {"f": _repr(v)}
    if t is _list:
        return [plain(x, depth + 1) for x in v]
    if t is _tuple:
        return {"t": [plain(x, depth + 1) for x in v]}
    if t is _set or t is _frozenset:
        return {"s": [plain(x, depth + 1) for x in v]}
    if t is _dict:
        return {"d": [[plain(k, depth + 1), plain(x, depth + 1)] for k, x in v.items()]}
    return {"o": "%.100s" % t.__name__}


def send(fd, what):
    data = (_dumps(what) + "\n").encode()
    while data:
        data = data[_write(fd, data):]


def load(task, ns):
    """The task's setup and the program. A program that leaves by itself (sys.exit) keeps what it has defined."""
    _exec(_compile(task["setup"], "<setup>", "exec"), ns)
    try:
        _exec(_compile(task["code"], "<program>", "exec"), ns)
    except _SystemExit:
        pass


def values(task, ns, fd):
    """Strict oracle: the value of each call."""
    load(task, ns)
    for i, call in enumerate(task["calls"]):
        send(fd, {"n": i, "v": plain(_eval(_compile(call, "<call>", "eval"), ns))})


def native(task, ns, fd):
    """eq_override: trusts == between the method's value and the expected one."""
    load(task, ns)
    for test in task["tests"]:
        _exec(_compile(test, "<test>", "exec"), ns)
    send(fd, task["nonce"])


def script(task, ns, fd):
    """exit_code: a script whose exit status is trusted; values are compared as they print, so only leaving early helps."""
    _exec(_compile(task["setup"], "<setup>", "exec"), ns)
    _exec(_compile(task["code"], "<program>", "exec"), ns)
    for call, want in task["pairs"]:
        if _repr(_eval(call, ns)) != want:
            _exit(1)


def drive(task, ns, fd):
    """stdout_marker, file_marker, sentinel: calls the method so that its side effects happen, on one object, and reads flags of it."""
    try:
        load(task, ns)
    except _BaseException:
        pass
    try:
        one = ns["Solution"]()
        real, ns["Solution"] = ns["Solution"], lambda *a, **k: one
    except _BaseException:
        return
    for call in task["calls"]:
        try:
            _eval(call, ns)
        except _BaseException:
            pass
    ns["Solution"] = real
    flags = []
    for name in task.get("flags", []):
        try:
            if bool(getattr(one, name, False)):
                flags.append(name)
        except _BaseException:
            pass
    send(fd, {"nonce": task["nonce"], "flags": flags})


def tests(task, ns, fd):
    """run_tests: trusts the program's own test function to come back."""
    load(task, ns)
    name = task["function"]
    fn = ns.get(name)
    if fn is None:
        fn = getattr(ns["Solution"](), name)
    fn()
    send(fd, task["nonce"])


def main():
    task = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[:] = [p for p in sys.path if p and not p.endswith("leetcode")]
    builtins.exit = builtins.quit = sys.exit  # the site module, which gives these, is not loaded
    sys.setrecursionlimit(5000)
    ns = {"__name__": "__main__", "__builtins__": builtins}
    sys.argv[:] = ["program"]
    {"values": values, "native": native, "script": script, "drive": drive, "tests": tests}[task["kind"]](task, ns, task["fd"])


if __name__ == "__main__":
    main()
