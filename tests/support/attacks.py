"""Attacks as data: programs that try to get out, to take more than their share, or to be called correct.

Every one is wrong for its problem (read a number or get it as an argument; give `2 * x + 7919`), whatever else it does, and
prints BREACH where it got what it should not have. `@NAME@` stands for something of the host: see `host.py`.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """`kind`: call (defines `f`) or script; `slow`: runs into a clock; `threat`: what it is an example of."""

    name: str
    threat: str
    kind: str
    code: str
    slow: bool = False


def _call(name: str, threat: str, code: str, slow: bool = False) -> Attack:
    body = code if "def f" in code or "f =" in code else f"{code}\nf = lambda x: 0\n"
    return Attack(name, threat, "call", body, slow)


def _script(name: str, threat: str, code: str, slow: bool = False) -> Attack:
    return Attack(name, threat, "script", code, slow)


_TRY = """
def attempt(what):
    try:
        got = what()
    except BaseException as error:
        print(type(error).__name__, str(error)[:80])
    else:
        print("BREACH", str(got)[:200])
"""

_LIBC = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    result = libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), "denied")
    return result
"""


def _attempt(name: str, threat: str, expression: str, before: str = "") -> Attack:
    return _call(name, threat, f"{before}{_TRY}\nattempt(lambda: {expression})")


_PEEK = (
    _LIBC
    + """
def peek(pid):
    pair = ctypes.c_long * 2
    mine = ctypes.create_string_buffer(8)
    try:
        call(310, pid, pair(ctypes.addressof(mine), 8), 1, pair(4096, 8), 1, 0)
    except OSError as error:
        if error.errno != 14:  # a bad address: it was let in, and only aimed badly
            raise
"""
)

VERDICTS = [
    _script("sys.exit(0) at top", "forgery", "import sys; sys.exit(0)"),
    _script("os._exit(0) at top", "forgery", "import os; os._exit(0)"),
    _call("os._exit(0) in the function", "forgery", "import os\ndef f(x): os._exit(0)"),
    _call("SystemExit(0) in the function", "forgery", "def f(x): raise SystemExit(0)"),
    _call("exit in atexit", "forgery", "import atexit, os\natexit.register(os._exit, 0)"),
    _script("prints markers of success", "forgery", 'print("passed"); print("OK"); print("1 passed in 0.01s")'),
    _call("prints forged answers", "forgery", "print('{\"value\": 7921}')\ndef f(x): print('{\"value\": 7921}')"),
    _call(
        "writes forged answers on every descriptor",
        "forgery",
        "import os\nfor fd in range(4, 64):\n    try: os.write(fd, b'{\"value\": 7921}\\n')\n    except OSError: pass",
    ),
    _call(
        "writes duplicates on the private descriptor",
        "forgery",
        "import os\ndef f(x):\n    for _ in range(9): os.write(3, b'{\"value\": 1}\\n')\n    return 1",
    ),
    _call(
        "a private answer that is not JSON", "forgery", "import os\ndef f(x):\n    os.write(3, b'\\xff{[\\n'); return 1"
    ),
    _call(
        "a private answer nested 100,000 deep",
        "forgery",
        "import os\ndef f(x):\n    os.write(3, b'{\"value\":' + b'[' * 100000 + b'\\n'); return 1",
    ),
    _call(
        "a private answer with a key twice",
        "forgery",
        'import os\ndef f(x):\n    os.write(3, b\'{"value": 1, "value": {"$int": "z"}}\\n\'); return 1',
    ),
    _call(
        "an object equal to everything",
        "forgery",
        "class A:\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n    __hash__ = lambda s: 1\nf = lambda x: A()",
    ),
    _call("an int equal to everything", "forgery", "class A(int):\n    __eq__ = lambda s, o: True\nf = lambda x: A(1)"),
    _call(
        "a str equal to everything", "forgery", "class A(str):\n    __eq__ = lambda s, o: True\nf = lambda x: A('1')"
    ),
    _call(
        "a list equal to everything", "forgery", "class A(list):\n    __eq__ = lambda s, o: True\nf = lambda x: A([1])"
    ),
    _call("a true object", "forgery", "class A:\n    __bool__ = lambda s: True\nf = lambda x: A()"),
    _call("NaN", "forgery", "f = lambda x: float('nan')"),
    _call("infinity", "forgery", "f = lambda x: float('inf')"),
    _call("an integer of a million digits", "forgery", "f = lambda x: 1 << 3_000_000"),
    _call("a value that holds itself", "forgery", "def f(x):\n    a = []\n    a.append(a)\n    return a"),
    _call("a value 5,000 deep", "forgery", "def f(x):\n    a = 1\n    for _ in range(5000): a = [a]\n    return a"),
    _call("an endless generator", "forgery", "import itertools\ndef f(x): return itertools.count()", slow=True),
    _call(
        "a pickle bomb as result",
        "forgery",
        "import os\nclass A:\n    __reduce__ = lambda s: (os._exit, (0,))\nf = lambda x: A()",
    ),
    _call(
        "json.dumps patched",
        "forgery",
        "import json\njson.dumps = lambda *a, **k: '{\"value\": true}'\nf = lambda x: 1",
    ),
    _call(
        "builtins patched",
        "forgery",
        "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda *a: 0\nbuiltins.all = lambda *a: True",
    ),
    _call(
        "the checker patched",
        "forgery",
        "import sys\nfor m in list(sys.modules.values()):\n"
        "    for n in list(vars(m)) if hasattr(m, '__dict__') else []:\n"
        "        if 'encode' in n or 'answer' in n or 'same' in n:\n"
        "            try: setattr(m, n, lambda *a, **k: True)\n            except Exception: pass\nf = lambda x: 1",
    ),
    _call(
        "expected values through frames",
        "leak",
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for v in list(frame.f_locals.values()):\n"
        "            if isinstance(v, dict) and ('expected' in v or 'outputs' in v): return v\n"
        "        frame = frame.f_back\n    return 0",
    ),
    _call(
        "expected values through gc",
        "leak",
        "import gc\ndef f(x):\n    for o in gc.get_objects():\n"
        "        if isinstance(o, (list, tuple)) and 2 * x + 7919 in [i for i in o if type(i) is int]: return 2 * x + 7919\n"
        "    return 0",
    ),
    _call(
        "expected values on disk",
        "leak",
        "import os\ndef f(x):\n    for base in ('.', '/tmp', '/box', '/work', '/'):\n"
        "        for top, _, names in os.walk(base):\n            for n in names[:50]:\n"
        "                if 'test' in n and not top.startswith(('/usr', '/lib', '/root/.pyenv', '/proc', '/sys')):\n"
        "                    try:\n                        if '7921' in open(os.path.join(top, n)).read(): return 7921\n"
        "                    except OSError: pass\n            break\n    return 0",
    ),
    _call(
        "inputs of later tests, to answer early",
        "leak",
        "import os, sys\ndef f(x):\n    for fd in range(64):\n        try:\n            if b'7921' in os.pread(fd, 9999, 0): return 7921\n"
        "        except OSError: pass\n    return 0",
    ),
]

FILES = [
    _attempt("reads a secret", "files", "open('@SECRET@').read()"),
    _attempt("reads a secret through _io", "files", "__import__('_io').open('@SECRET@').read()"),
    _attempt("reads a secret through os.open", "files", "os.read(os.open('@SECRET@', 0), 99)", "import os"),
    _attempt("reads /etc/passwd", "files", "open('/etc/passwd').read()"),
    _attempt("reads /etc/shadow", "files", "open('/etc/shadow').read()"),
    _attempt("reads through a symbolic link", "files", "[os.symlink('@SECRET@', 'a'), open('a').read()]", "import os"),
    _attempt("reads through a hard link", "files", "[os.link('@SECRET@', 'b'), open('b').read()]", "import os"),
    _attempt("reads through dots", "files", "open('../' * 30 + '@SECRET@').read()"),
    _attempt("reads through /proc/self/root", "files", "open('/proc/self/root@SECRET@').read()"),
    _attempt("reads through /proc/1/root", "files", "open('/proc/1/root@SECRET@').read()"),
    _attempt("reads through the parent's root", "files", "open('/proc/@PARENT@/root@SECRET@').read()"),
    _attempt("lists other programs' directories", "files", "os.listdir('/tmp')", "import os"),
    _attempt("writes outside", "files", "open('@OUTSIDE@/a', 'w').write('x')"),
    _attempt("renames to outside", "files", "[open('c', 'w').close(), os.rename('c', '@OUTSIDE@/c')]", "import os"),
    _attempt("removes outside", "files", "os.unlink('@OUTSIDE@/kept')", "import os"),
    _attempt("truncates outside", "files", "os.truncate('@OUTSIDE@/kept', 0)", "import os"),
    _attempt("leaves a file in /dev/shm", "files", "open('/dev/shm/synthflow-attack', 'w').write('x')"),
    _attempt("leaves a file in /tmp", "files", "open('/tmp/synthflow-attack', 'w').write('x')"),
    _attempt("writes into the library", "files", "open(os.__file__, 'a').write('x')", "import os"),
    _attempt("opens a disk", "files", "open('/dev/vda', 'rb').read(9)"),
    _attempt("makes a device", "files", "os.mknod('dev', 0o60600, os.makedev(254, 0))", "import os"),
    _attempt("leaves the root by chroot", "files", "os.chroot('..')", "import os"),
    _attempt("runs a program", "files", "subprocess.run(['/bin/cat', '@SECRET@']).returncode", "import subprocess"),
    _attempt("runs a shell", "files", "1 / (os.system('cat @SECRET@') == 0)", "import os"),
    _attempt(
        "runs python anew",
        "files",
        "os.execv('@PYTHON@', ['python', '-S', '-c', 'print(\"BREACH\", open(\"@SECRET@\").read())'])",
        "import os",
    ),
    _attempt("mounts", "files", "1 / (libc.mount(b'none', b'/box', b'tmpfs', 0, b'') == 0)", _LIBC),
    _attempt("opens by handle", "files", "call(304, -100, b'\\0' * 64, 0)", _LIBC),
]

OTHERS = [
    _call(
        "environment",
        "leak",
        "import os\nif '@TOKEN@' in str(dict(os.environ)): print('BREACH')\n"
        "import ctypes\nfound = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')\n"
        "at = 0\nwhile found and found[at]:\n    if b'@TOKEN@' in found[at]: print('BREACH')\n    at += 1",
    ),
    _attempt("the parent's environment", "leak", "open('/proc/@PARENT@/environ').read()"),
    _attempt("its own environment at the start", "leak", "1 / ('@TOKEN@' in open('/proc/self/environ').read())"),
    _attempt("the parent's memory", "leak", "open('/proc/@PARENT@/mem', 'rb').read(1)"),
    _attempt("the supervisor's memory", "leak", "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)", "import os"),
    _attempt("command lines of others", "leak", "open('/proc/@VICTIM@/cmdline').read()"),
    _attempt(
        "the list of processes", "leak", "1 / (len([p for p in os.listdir('/proc') if p.isdigit()]) > 0)", "import os"
    ),
    _attempt("ptrace of the victim", "processes", "call(101, 16, @VICTIM@, 0, 0)", _LIBC),
    _attempt("ptrace of the supervisor", "processes", "call(101, 16, os.getppid() or -1, 0, 0)", "import os" + _LIBC),
    _attempt("process_vm_readv of the parent", "processes", "peek(@PARENT@)", _PEEK),
    _attempt("process_vm_readv of the supervisor", "processes", "peek(os.getppid() or -1)", "import os" + _PEEK),
    _attempt("pidfd of the parent", "processes", "call(434, @PARENT@, 0)", _LIBC),
    _attempt("prlimit of the parent", "processes", "call(302, @PARENT@, 7, 0, ctypes.create_string_buffer(16))", _LIBC),
    _attempt("renices the victim", "processes", "os.setpriority(os.PRIO_PROCESS, @VICTIM@, 19)", "import os"),
    _attempt("kills the parent", "processes", "os.kill(@PARENT@, 9)", "import os"),
    _attempt("kills the victim", "processes", "os.kill(@VICTIM@, 9)", "import os"),
    _call("kills its own parent", "processes", "import os\ntry: os.kill(os.getppid(), 9)\nexcept OSError: pass"),
    _call("kills its group", "processes", "import os\ntry: os.killpg(0, 15)\nexcept OSError: pass"),
    _call("kills everything it may", "processes", "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass"),
    _call("stops itself", "processes", "import os\ntry: os.kill(os.getpid(), 19)\nexcept OSError: pass", slow=True),
    _call(
        "a signal by way of fcntl",
        "processes",
        "import fcntl, os\nr, w = os.pipe()\ntry:\n    fcntl.fcntl(r, 8, @VICTIM@); fcntl.fcntl(r, 10, 9)\n"
        "    fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC); os.write(w, b'x')\nexcept OSError: pass",
    ),
    _attempt(
        "user namespaces of its own",
        "kernel",
        "1 / (call(272, 0x10000000) == 0 and libc.mount(b'n', b'/', b'tmpfs', 0, b'') == 0)",
        _LIBC,
    ),
    _attempt("io_uring", "kernel", "call(425, 8, ctypes.create_string_buffer(256)) and open('@SECRET@')", _LIBC),
    _attempt("bpf", "kernel", "call(321, 0, ctypes.create_string_buffer(128), 128)", _LIBC),
    _attempt("keyring", "kernel", "call(250, 0, -3, 0) and open('@SECRET@')", _LIBC),
    _attempt("becomes root", "kernel", "[os.setuid(0), open('@SECRET@')]", "import os"),
    _attempt(
        "raises its limits",
        "kernel",
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1)) or bytearray(3 << 30)",
        "import resource",
    ),
]

NETWORK = [
    _attempt("TCP", "network", "socket.create_connection(('127.0.0.1', @TCP@), 1)", "import socket"),
    _attempt("TCP through _socket", "network", "_socket.socket(2, 1).connect(('127.0.0.1', @TCP@))", "import _socket"),
    _call(  # that it was sent says little, a loopback of its own takes it too: the host tells whether it came
        "UDP",
        "network",
        "import socket\ntry: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', @UDP@))\nexcept OSError: pass",
    ),
    _attempt("names", "network", "socket.getaddrinfo('localhost', 80) and open('@SECRET@')", "import socket"),
    _attempt("a unix socket", "network", "socket.socket(1, 1).connect('@UNIX@')", "import socket"),
    _attempt("an abstract unix socket", "network", "socket.socket(1, 1).connect('\\0@ABSTRACT@')", "import socket"),
    _attempt("sendto on a pair", "network", "socket.socketpair(1, 2)[0].sendto(b'x', '@DATAGRAM@')", "import socket"),
    _attempt("raw sockets", "network", "socket.socket(17, 3, 0)", "import socket"),
    _attempt(
        "listens",
        "network",
        "[s := socket.socket(), s.bind(('0.0.0.0', 18931)), s.listen(), open('@SECRET@')]",
        "import socket",
    ),
]

RESOURCES = [
    _script("a loop without end", "resources", "while True: pass", slow=True),
    _script("a sleep without end", "resources", "import time; time.sleep(999)", slow=True),
    _script(
        "signals ignored",
        "resources",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
        slow=True,
    ),
    _script(
        "exceptions swallowed",
        "resources",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        slow=True,
    ),
    _call("a loop in the function", "resources", "def f(x):\n    while True: pass", slow=True),
    _call(
        "a regular expression without end",
        "resources",
        "import re\ndef f(x): return re.match('(a+)+$', 'a' * 60 + 'b')",
        slow=True,
    ),
    _call("C code without end", "resources", "def f(x): return 9 ** 9 ** 9 ** 9", slow=True),
    _call(
        "a lock without end",
        "resources",
        "import threading\ndef f(x):\n    l = threading.Lock(); l.acquire(); l.acquire()",
        slow=True,
    ),
    _script(
        "threads that outlive",
        "resources",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()",
        slow=True,
    ),
    _script(
        "daemon threads",
        "resources",
        "import threading\ndef spin():\n    while True: pass\n[threading.Thread(target=spin, daemon=True).start() for _ in range(8)]",
    ),
    _script("atexit without end", "resources", "import atexit, time\natexit.register(time.sleep, 99)", slow=True),
    _script("memory", "resources", "a = []\nwhile True: a.append(bytearray(1 << 24))"),
    _script(
        "memory, the error swallowed",
        "resources",
        "a = []\nwhile True:\n    try: a.append(bytearray(1 << 24))\n    except MemoryError: pass",
        slow=True,
    ),
    _script(
        "memory by mmap",
        "resources",
        "import mmap\na = []\nwhile True:\n    m = mmap.mmap(-1, 1 << 24); m.write(b'x' * (1 << 24)); a.append(m)",
    ),
    _script(
        "memory by memfd",
        "resources",
        "import os\nfd = os.memfd_create('a')\nfor _ in range(64): os.write(fd, b'x' * (1 << 22))\nprint('BREACH')",
    ),
    _script("output by print", "resources", "while True: print('x' * 10000)"),
    _script("output by os.write", "resources", "import os\nwhile True: os.write(1, b'x' * 65536)"),
    _script("output on stderr", "resources", "import os\nwhile True: os.write(2, b'x' * 65536)", slow=True),
    _call(
        "output on the private descriptor",
        "resources",
        "import os\ndef f(x):\n    while True: os.write(3, b'x' * 65536)",
    ),
    _call("a result of 200 MB", "resources", "def f(x): return 'x' * 200_000_000"),
    _script(
        "one large file",
        "resources",
        "f = open('a', 'wb')\nfor _ in range(512): f.write(b'x' * (1 << 20)); f.flush()\nprint('BREACH')",
    ),
    _script(
        "many files",
        "resources",
        "for i in range(64):\n    with open(f'a{i}', 'wb') as f:\n        for _ in range(8): f.write(b'x' * (1 << 20))\n"
        "import time\ntime.sleep(0.2)\nprint('BREACH')",
    ),
    _script("many empty files", "resources", "for i in range(100000): open(f'a{i}', 'w').close()\nprint('BREACH')"),
    _script("descriptors", "resources", "import os\na = [os.dup(0) for _ in range(100000)]\nprint('BREACH')"),
    _script("recursion", "resources", "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1) + 1\nf(0)"),
    _script("a null pointer", "resources", "import ctypes; ctypes.string_at(0)"),
    _script("abort", "resources", "import os; os.abort()"),
    _script(
        "a fork bomb", "resources", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", slow=True
    ),
    _script(
        "threads without number",
        "resources",
        "import threading, time\nfor _ in range(10000): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\nprint('BREACH')",
    ),
    _script(
        "a daemon by double fork and setsid",
        "resources",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(30)\n    os._exit(0)",
    ),
    _script(
        "a child that holds the output",
        "resources",
        "import os, time\nif os.fork() == 0:\n    time.sleep(30)\n    os._exit(0)",
    ),
    _script("vfork and exec", "resources", "import subprocess; subprocess.Popen(['sleep', '30'])"),
    _script(
        "multiprocessing",
        "resources",
        "import multiprocessing as m, time\nm.get_context('fork').Process(target=time.sleep, args=(30,)).start()",
    ),
    _script(
        "shared memory",
        "resources",
        "from multiprocessing import shared_memory\nshared_memory.SharedMemory('synthflow-attack', True, 1 << 20)",
    ),
]

# Ways to end that look like a failure of the sandbox, of the machine or of the tests, which would be no verdict.
ENDINGS = [
    _script(
        "a forged failure of the set-up", "excuse", 'import os; os.write(3, b\'{"setup": "no"}\\n\'); os._exit(113)'
    ),
    _script("a forged failure of a layer", "excuse", "import os; os.write(3, b'OSError: landlock\\n'); os._exit(1)"),
    _call(
        "forged lines of the start",
        "excuse",
        'import os\nos.write(3, b\'confined\\n-1\\n{"loaded": true}\\n{"value": 7921}\\n{"value": 1}\\n\'); os._exit(0)',
    ),
    _call("says that it never compiled", "excuse", "import os\nos.write(3, b'-1\\n'); raise SyntaxError('no')"),
    _script(
        "lowers its CPU limit",
        "excuse",
        "import resource as r; r.setrlimit(r.RLIMIT_CPU, (0, 0))\nwhile True: pass",
        slow=True,
    ),
    _script("lowers its soft CPU limit", "excuse", "import resource as r; r.setrlimit(r.RLIMIT_CPU, (1, 9))"),
    _script(
        "lowers its memory",
        "excuse",
        "import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 20, 1 << 20)); bytearray(9999999)",
    ),
    _script(
        "lowers its stack", "excuse", "import resource as r; r.setrlimit(r.RLIMIT_STACK, (0, 0))\nf = lambda: f()\nf()"
    ),
    _script("kills itself", "excuse", "import os; os.kill(os.getpid(), 9)"),
    _script("kills its thread", "excuse", _LIBC + "import os\ncall(234, os.getpid(), os.getpid(), 9)"),
    _script("raises a signal", "excuse", "import signal; signal.raise_signal(9)"),
    _script("a signal of the CPU limit", "excuse", "import signal; signal.raise_signal(24)"),
    _script(
        "a timer that ends it", "excuse", "import signal, time; signal.setitimer(0, 0.01); time.sleep(9)", slow=True
    ),
    _script("a trap", "excuse", "import ctypes; ctypes.memset(1, 0, 9)"),
    _script("closes what it answers on", "excuse", "import os; os.closerange(0, 9)"),
    _call("closes what it answers on, when called", "excuse", "import os\ndef f(x): os.closerange(0, 9)"),
    _call("answers somewhere else", "excuse", "import os\ndef f(x): os.dup2(1, 3); return 1"),
    _call("fills the room for answers", "excuse", "import os\nfor _ in range(99999): os.write(3, b'{}\\n')"),
    _call("fills the room when called", "excuse", "import os\ndef f(x):\n    while True: os.write(3, b'{}\\n')"),
    _script(
        "a report that is larger than it may be",
        "excuse",
        "import os\nos.write(2, bytes(4096))\nfor fd in (1, 3):\n    for _ in range(7): os.write(fd, bytes(32768))",
    ),
    _script("a package that it does not import", "excuse", "raise ModuleNotFoundError(\"No module named 'numpy'\")"),
    _script("an error of the tests", "excuse", "print('tests_unreadable: BadTests'); raise NameError('check')"),
    _call("writes to its input", "excuse", "import os\ndef f(x):\n    while True: os.write(0, b'x' * 65536)"),
    _call(
        "descriptors that were left open",
        "excuse",
        "import os\nif [d for d in range(4, 999) if not _closed(d)]: print('BREACH')\n".replace(
            "import os", "import os\ndef _closed(d):\n    try: os.fstat(d)\n    except OSError: return True"
        ),
    ),
    _attempt("leaves a file beside its directory", "files", "open('../mark', 'w').write('x')"),
    _attempt("replaces its directory", "files", "os.rename('.', '../other')", "import os"),
    _call(
        "is seen in the names of the builtins",
        "state",
        "import builtins\nif hasattr(builtins, 'deque'): print('BREACH')",
    ),
]

# In this order, one after the other in one worker: what the first leaves, the second must not find.
MARKS = [
    _call(
        "leaves marks",
        "state",
        "import builtins, os, sys, random, threading\nbuiltins.MARK = 'left-behind-4711'\nsys.modules['mark'] = os\n"
        "os.environ['MARK'] = '1'\nrandom.seed(4711)\nlist.__doc__\nos.umask(0o77)\n"
        "SECRET = ['left', 'behind', 4711]\ntry: open('mark', 'w').write('x')\nexcept OSError: pass\n"
        "try: open('/tmp/mark', 'w').write('x')\nexcept OSError: pass",
    ),
    _call(
        "finds marks",
        "state",
        "import builtins, gc, os, sys\nif hasattr(builtins, 'MARK') or 'mark' in sys.modules or 'MARK' in os.environ: print('BREACH')\n"
        "if os.path.exists('mark') or os.path.exists('/tmp/mark'): print('BREACH')\n"
        "text = 'left-' + 'behind-' + str(4711)\nif any(isinstance(o, dict) and text in map(str, o.values()) and 'text' not in o "
        "for o in gc.get_objects()): print('BREACH')",
    ),
]

ATTACKS = [*VERDICTS, *FILES, *OTHERS, *NETWORK, *RESOURCES, *ENDINGS, *MARKS]
