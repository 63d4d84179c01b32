#!/usr/bin/env python3
"""console.py DEVICE COMMAND…: runs a command in a session of its own whose terminal is DEVICE, a virtual console. Prints what stands in
its input afterwards, which nobody at a keyboard has typed, and ends with the command's exit code."""
import fcntl, os, subprocess, sys, termios


def session():
    """In its leader: when that ends the terminal is hung up, and what was typed is gone."""
    os.setsid()
    tty = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
    saved, raw = termios.tcgetattr(tty), termios.tcgetattr(tty)
    raw[3] &= ~(termios.ICANON | termios.ECHO)  # what is typed can be read at once
    raw[6][termios.VMIN] = raw[6][termios.VTIME] = 0
    termios.tcsetattr(tty, termios.TCSAFLUSH, raw)
    code = subprocess.run(sys.argv[2:], stdin=tty, stdout=tty, stderr=tty).returncode
    termios.tcsetattr(tty, termios.TCSANOW, raw)
    print("input:", os.read(tty, 1000), flush=True)
    termios.tcsetattr(tty, termios.TCSAFLUSH, saved)
    return code


pid = os.fork()
if pid == 0:
    os._exit(session())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
