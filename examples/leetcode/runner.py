"""runner.py - runs one model-written program for grader.py, in a process of its own, and reports what happened.

The task comes as JSON on standard input and is read before anything of the model's runs. The report goes to the pipe whose number the
task names. Nothing here is trusted by the strict oracle beyond "these are values that the program computed": what they should be is
known only to grader.py, in another process.
"""
import builtins
import ctypes
import json
import os
import resource
import struct
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


# ---- the program's own corner; each step holds where the kernel has it ----

NEW_USER, NEW_IPC, NEW_PID, NEW_NET = 0x10000000, 0x08000000, 0x20000000, 0x40000000
PDEATHSIG, NO_NEW_PRIVS = 1, 38
LANDLOCK = (444, 445, 446)  # create_ruleset, add_rule, restrict_self
READ, WRITE, CHANGE, REFER, TRUNCATE = 0b1101, 0b10, 0x1ff << 4, 1 << 13, 1 << 14  # READ: execute, read_file, read_dir


def own_namespaces(libc):
    """Another user namespace and process tree than grader.py's: its processes can be neither seen nor reached from there.

    The caller of this stays outside and only passes the exit status on; it returns in the new process alone."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_PID | NEW_IPC | NEW_NET) != 0:
        return
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, uid)), ("gid_map", "%d %d 1" % (gid, gid))):
            with open("/proc/self/" + name, "w") as f:
                f.write(text)
    except OSError:
        pass  # without a name for its user it is apart all the same
    try:
        child = os.fork()
    except OSError:
        return
    if child:
        for fd in range(32):
            try:
                os.close(fd)
            except OSError:
                pass
        status = os.waitpid(child, 0)[1]
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 255)
    libc.prctl(PDEATHSIG, 9, 0, 0, 0)


def landlock(libc):
    """Nothing outside is written, signalled or traced; only Python's own files, the system's and the program's folder are read."""
    abi = libc.syscall(LANDLOCK[0], None, 0, 1)
    if abi < 1:
        return
    write = WRITE | CHANGE | (REFER if abi >= 2 else 0) | (TRUNCATE if abi >= 3 else 0)
    attr = struct.pack("QQQ", READ | write, 0, 3 if abi >= 6 else 0)[:24 if abi >= 6 else 8]
    rules = libc.syscall(LANDLOCK[0], attr, len(attr), 0)
    if rules < 0:
        return
    system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/opt", "/dev", "/proc", "/sys", sys.prefix, sys.base_prefix]
    for path, what in [(p, READ) for p in system] + [(os.getcwd(), READ | write)]:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        libc.syscall(LANDLOCK[1], rules, 1, struct.pack("=Qi", what, fd), 0)
        os.close(fd)
    libc.syscall(LANDLOCK[2], rules, 0)
    os.close(rules)


def apart():
    """Before the task is read, so that no process but the program's own ever knows it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    own_namespaces(libc)
    landlock(libc)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def main():
    apart()
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
