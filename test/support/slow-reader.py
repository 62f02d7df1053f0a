# A TCP client with a receive buffer of any small size, which Node cannot have. It reads only on command, and sees
# FIN and RST without reading. Commands, one a line on stdin:  send HEX | read N | trickle N MS | drain | end | reset
# Reports on stdout, one JSON a line, each with the bytes read so far and their SHA-256.
import hashlib, json, os, select, socket, struct, sys, time

s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[2]))
s.connect(('127.0.0.1', int(sys.argv[1])))
# Nagle would hold a small second piece back until the first is acknowledged.
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.setblocking(False)
got, sha = 0, hashlib.sha256()
want, lump, gap, due = 0, 0, 0.0, 0.0
told, commands = set(), b''
outbox, ending = b'', False

def say(what, **more):
    print(json.dumps(dict(what=what, bytes=got, sha256=sha.hexdigest(), **more)), flush=True)

def once(what, **more):
    if what not in told:
        told.add(what)
        say(what, **more)

def obey(line):
    global want, lump, gap, due, outbox, ending
    word, *rest = line.split()
    if word == 'send': outbox += bytes.fromhex(rest[0])
    elif word == 'read': want += int(rest[0])
    elif word == 'drain': want, gap = float('inf'), 0.0
    elif word == 'trickle': lump, gap, due = int(rest[0]), int(rest[1]) / 1000, time.monotonic()
    elif word == 'end': ending = True
    elif word == 'reset':
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
        os._exit(0)

def finish():
    global ending
    if ending and not outbox and not dead:
        ending = False
        s.shutdown(socket.SHUT_WR)

say('connected', port=s.getsockname()[1])
dead = False
while True:
    finish()
    if gap and time.monotonic() >= due:
        want, due = lump, time.monotonic() + gap
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    if not dead or want:
        heard = select.POLLRDHUP if 'fin' not in told else 0
        poll.register(s, heard | (select.POLLIN if want else 0) | (select.POLLOUT if outbox else 0))
    wait = None if not gap or want else max(0, due - time.monotonic()) * 1000
    for fd, event in poll.poll(wait):
        if fd == 0:
            text = os.read(0, 65536)
            if not text: os._exit(0)
            *lines, commands = (commands + text).split(b'\n')
            for line in lines: obey(line.decode())
            continue
        if event & select.POLLRDHUP and not event & select.POLLERR: once('fin')
        try:
            if event & select.POLLOUT and outbox: outbox = outbox[s.send(outbox):]
            if want and event & (select.POLLIN | select.POLLERR | select.POLLHUP):
                piece = s.recv(int(min(want, 65536)))
                if piece:
                    got += len(piece)
                    sha.update(piece)
                    want -= len(piece)
                    if not want: say('read')
                else:
                    want, gap = 0, 0.0
                    once('end')
            elif event & select.POLLERR:
                raise OSError(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or 104, '')
            # Both halves are done: there is nothing left to poll for but what waits unread.
            if event & select.POLLHUP and not want and not gap: dead = 'end' in told or 'fin' in told
        except BlockingIOError: pass
        except OSError as error:
            dead, want, gap = True, 0, 0.0
            once('reset', errno=error.errno)
