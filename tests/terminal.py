"""Runs a program on a terminal of so many columns, and passes on what it wrote there.

    terminal.py COLUMNS PROGRAM ARGUMENT…

Its standard output is the terminal; standard error stays what it is. The exit code is the program's.
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

columns, command = int(sys.argv[1]), sys.argv[2:]
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs)
os.close(theirs)
written = b""
while True:
    try:
        more = os.read(ours, 1 << 16)
    except OSError:
        # The last to hold the terminal has gone.
        break
    if not more:
        break
    written += more
sys.stdout.buffer.write(written.replace(b"\r\n", b"\n"))
sys.stdout.flush()
sys.exit(process.wait())
