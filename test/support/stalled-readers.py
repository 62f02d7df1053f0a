# Many clients that read nothing, and the service that sends them more than they could ever read, in one process: for memory
# limits. Their sockets hold little in the kernel, so that the queued bytes wait in the gate. A reader that gets RST reconnects.
# Usage: COUNT PORT; prints the port of the service. Then a line on stdin: "go" connects the readers, "stop" closes them.
import errno, json, os, resource, select, socket, sys, time

count, port = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
CHUNK = bytes(65536)
AGAIN_S = 0.5
BURST = 200

service = socket.socket()
service.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
service.setblocking(False)
service.bind(('127.0.0.1', 0))
service.listen(4096)
print(service.getsockname()[1], flush=True)

poll = select.epoll()
poll.register(0, select.EPOLLIN)
poll.register(service, select.EPOLLIN)
served, readers, later = {}, {}, []
going, resets = False, 0

def connect():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # The gate's send buffer is sized by it, in segments: a megabyte with those of loopback.
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    s.setblocking(False)
    if s.connect_ex(('127.0.0.1', port)) not in (0, errno.EINPROGRESS): return s.close()
    readers[s.fileno()] = s
    poll.register(s, select.EPOLLRDHUP)  # and EPOLLERR, EPOLLHUP: RST is seen without reading

def drop(table, fd):
    poll.unregister(fd)
    table.pop(fd).close()

def feed(fd):
    try:
        while True: served[fd].send(CHUNK)
    except BlockingIOError: pass
    except OSError: drop(served, fd)

while True:
    for fd, event in poll.poll(0.05):
        if fd == 0:
            text = os.read(0, 1024)
            if not text: sys.exit(0)
            going = text.strip() == b'go'
            if going: later = [0] * count
            else:
                print(json.dumps(dict(resets=resets, open=len(readers))), flush=True)
                for reader in list(readers): drop(readers, reader)
        elif fd == service.fileno():
            try:
                while True:
                    s, _ = service.accept()
                    s.setblocking(False)
                    served[s.fileno()] = s
                    poll.register(s, select.EPOLLOUT | select.EPOLLET)
            except BlockingIOError: pass
        elif fd in served: feed(fd)
        elif fd in readers:
            resets += 1
            drop(readers, fd)
            later.append(time.monotonic() + AGAIN_S)
    if not going: continue
    now = time.monotonic()
    due = [at for at in later if at <= now]
    later = [at for at in later if at > now] + due[BURST:]
    for _ in due[:BURST]: connect()
