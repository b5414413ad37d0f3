"""
Many TCP flows between network namespaces from two small processes: `server` answers in every pod, `client` keeps long-lived
connections and opens short ones at a rate. One JSON command a line on stdin, one JSON answer a line on stdout.
A short connection is: connect to port 80, read who answered and whom it saw, close. A long one, on port 81, says something
every second and wants it back. Times are seconds of the wall clock, which server, client and test share in one kernel.
"""
import ctypes, errno, json, select, socket, sys, time

libc = ctypes.CDLL(None, use_errno=True)


def enter(ns):
    with open('/run/netns/' + ns) as handle:
        if libc.setns(handle.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), 'setns ' + ns)


poll = select.epoll()
lines = b''


def commands():
    """Commands that have come in; read without buffering, so that epoll knows what is left."""
    global lines
    data = sys.stdin.buffer.raw.read(65536)
    if data == b'':
        sys.exit(0)
    lines += data
    *whole, lines = lines.split(b'\n')
    return [json.loads(line) for line in whole]


def say(value):
    sys.stdout.write(json.dumps(value) + '\n')
    sys.stdout.flush()


def server():
    doors, talks = {}, {}
    poll.register(0, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == 0:
                for command in commands():
                    enter(command['ns'])
                    for address in command['addresses']:
                        for port in (80, 81):
                            door = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
                            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                            # What is said at once has to fit: nothing here waits for a buffer.
                            door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212992)
                            door.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: the address may come later
                            door.bind((address, port))
                            door.listen(2048)
                            door.setblocking(False)
                            doors[door.fileno()] = (door, command['name'], port)
                            poll.register(door.fileno(), select.EPOLLIN)
                    say({'serving': command['name']})
            elif fd in doors:
                door, name, port = doors[fd]
                try:
                    conn, peer = door.accept()
                except OSError:
                    continue
                try:
                    conn.send(f'{name} {peer[0]}\n'.encode())
                except OSError:
                    pass
                if port == 80:
                    conn.close()
                else:
                    conn.setblocking(False)
                    talks[conn.fileno()] = conn
                    poll.register(conn.fileno(), select.EPOLLIN)
            else:
                conn = talks[fd]
                try:
                    data = conn.recv(65536)
                    if data:
                        conn.send(data)
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                poll.unregister(fd)
                del talks[fd]
                conn.close()


class Long:
    """One long-lived connection: what it said last, when it heard itself, and what ended it."""

    def __init__(self, host):
        self.opened = time.time()
        self.pod, self.error, self.heard, self.sent, self.back = '', '', self.opened, 0, 0
        self.sock = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212992)
        self.sock.connect_ex((host, 81))
        poll.register(self.sock.fileno(), select.EPOLLIN)

    def speak(self, text):
        try:
            self.sent += self.sock.send(text)
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(errno.errorcode.get(error.errno, str(error)))

    def fail(self, why):
        if self.error == '':
            self.error = why
            poll.unregister(self.sock.fileno())
            self.sock.close()

    def read(self):
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            return self.fail(errno.errorcode.get(error.errno, str(error)))
        if not data:
            return self.fail('closed')
        self.heard = time.time()
        if self.pod == '':
            banner, data = data.split(b'\n', 1)
            self.pod = banner.decode()
        self.back += len(data)


def client(ns):
    enter(ns)
    poll.register(0, select.EPOLLIN)
    longs, by_fd, shorts, done = [], {}, {}, []
    rate, began, opened, host = 0, 0.0, 0, ''
    tick = time.time()

    def finish(fd, ok, what):
        sock, at = shorts.pop(fd)
        done.append((round(at, 4), round(time.time() - at, 4), ok, what))
        sock.close()

    while True:
        now = time.time()
        for fd, _ in poll.poll(0.002 if rate else 0.05):
            if fd == 0:
                for command in commands():
                    op = command['op']
                    if op == 'long':
                        for _ in range(command['count']):
                            one = Long(command['host'])
                            longs.append(one)
                            by_fd[one.sock.fileno()] = one
                        say({'opened': len(longs)})
                    elif op == 'drop':
                        for one in longs:
                            if one.error == '':
                                one.fail('dropped')
                        longs, by_fd = [], {}
                        say({'dropped': True})
                    elif op == 'big':
                        for one in longs[:command['count']]:
                            one.speak(b'x' * command['bytes'])
                        say({'sent': [one.sent for one in longs[:command['count']]]})
                    elif op == 'rate':
                        rate, host, began, opened = command['rate'], command['host'], time.time(), 0
                        say({'rate': rate})
                    elif op == 'shorts':
                        if command.get('stop'):
                            rate = 0
                        say({'done': done, 'open': len(shorts), 'began': opened})
                        if command.get('stop'):
                            done = []
                    elif op == 'longs':
                        say({'longs': [{'pod': one.pod, 'error': one.error, 'heard': one.heard, 'sent': one.sent,
                                        'back': one.back,
                                        'mss': one.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) if one.error == '' else 0}
                                       for one in longs]})
                    elif op == 'once':
                        say({'answers': [once(command['host'], port) for port in command['ports']]})
            elif fd in by_fd and by_fd[fd].error == '':
                by_fd[fd].read()
            elif fd in shorts:
                try:
                    data = shorts[fd][0].recv(256)
                    finish(fd, data != b'', data.decode().strip() or 'closed')
                except BlockingIOError:
                    pass
                except OSError as error:
                    finish(fd, False, errno.errorcode.get(error.errno, str(error)))
        now = time.time()
        if rate:
            for _ in range(min(50, int((now - began) * rate) - opened)):
                opened += 1
                sock = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
                sock.setblocking(False)
                shorts[sock.fileno()] = (sock, now)
                sock.connect_ex((host, 80))
                poll.register(sock.fileno(), select.EPOLLIN)
        if now - tick >= 0.1:
            tick = now
            for fd in [fd for fd, (_, at) in shorts.items() if now - at > 8]:
                finish(fd, False, 'timeout')
            # A tenth of the long ones speak every tenth of a second.
            for one in longs[int(now * 10) % 10::10]:
                if one.error == '' and one.pod != '':
                    one.speak(b'ping\n')


def once(host, port):
    """Who answers a connection from this source port."""
    sock = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    sock.settimeout(5)
    # No TIME_WAIT on this side, so that the very same five numbers may be used again.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(('::' if ':' in host else '0.0.0.0', port))
        sock.connect((host, 80))
        return sock.recv(256).decode().strip()
    except OSError as error:
        return 'error ' + str(error)
    finally:
        sock.close()


if sys.argv[1] == 'server':
    server()
else:
    client(sys.argv[2])
