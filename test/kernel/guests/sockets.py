"""
Servers and clients in many network namespaces from one small process: a thread may enter a namespace of its own, which Node
cannot. One JSON command a line on stdin, one JSON answer a line on stdout. A server says its name and whom it sees.
"""
import ctypes, json, socket, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
out = threading.Lock()
KINDS = {'tcp': (socket.SOCK_STREAM, 0), 'udp': (socket.SOCK_DGRAM, 0), 'sctp': (socket.SOCK_STREAM, 132)}
held = {}
servers = {}
served = {}


def enter(ns):
    with open('/run/netns/' + ns) as handle:
        if libc.setns(handle.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), 'setns ' + ns)


def make(proto, address):
    kind, number = KINDS[proto]
    made = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind, number)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def talk(conn, text):
    try:
        conn.sendall(text)
        while True:
            data = conn.recv(4096)
            if not data:
                break
            conn.sendall(data)
    except OSError:
        pass
    finally:
        conn.close()


def serve(command, ready):
    enter(command['ns'])
    name, proto = command['name'], command['proto']
    server = make(proto, command['address'])
    server.bind((command['address'], command['port']))
    if proto != 'udp':
        server.listen(512)
    servers[(command['ns'], proto, command['address'], command['port'])] = server
    ready.set()
    while True:
        if proto == 'udp':
            try:
                _, peer = server.recvfrom(4096)
                server.sendto(f'{name} {peer[0]}'.encode(), peer)
            except OSError:
                return
        else:
            try:
                conn, peer = server.accept()
            except OSError:
                return
            served.setdefault(command['address'], []).append(conn)
            threading.Thread(target=talk, args=(conn, f'{name} {peer[0]}'.encode()), daemon=True).start()


def ask(command, port=0):
    started = time.monotonic()
    try:
        client = make(command['proto'], command['host'])
        client.settimeout(command.get('timeout', 3))
        if command.get('bind') or port:
            client.bind((command.get('bind') or ('::' if ':' in command['host'] else '0.0.0.0'), port))
        client.connect((command['host'], command['port']))
        if command['proto'] == 'udp':
            client.send(b'x')
        answer = client.recv(4096).decode()
        if command.get('hold'):
            held[command['hold']] = client
        else:
            client.close()
    except socket.timeout:
        answer = 'timeout'
    except ConnectionRefusedError:
        answer = 'refused'
    except OSError as error:
        # An SCTP association that a protocol-unreachable error ended says ENOPROTOOPT.
        answer = 'refused' if error.errno == 92 else 'error ' + str(error.errno)
    return answer, time.monotonic() - started


def flows(command):
    """One datagram from each of many source ports, some in flight at a time; a lost one is sent again."""
    answers = []
    for first in range(command['first'], command['first'] + command['count'], 100):
        batch = []
        for port in range(first, min(first + 100, command['first'] + command['count'])):
            client = make('udp', command['host'])
            client.settimeout(2)
            client.bind(('::' if ':' in command['host'] else '0.0.0.0', port))
            client.connect((command['host'], command['port']))
            client.send(b'x')
            batch.append(client)
        for client in batch:
            for _ in range(3):
                try:
                    answer = client.recv(4096).decode()
                    break
                except socket.timeout:
                    answer = 'timeout'
                    client.send(b'x')
                except OSError as error:
                    answer = 'error ' + str(error.errno)
                    break
            answers.append(answer)
            client.close()
    return answers


def bulk(command):
    """So many bytes there and back over one connection: only what path MTU discovery lets through arrives."""
    client = make('tcp', command['host'])
    client.settimeout(command.get('timeout', 30))
    try:
        client.connect((command['host'], command['port']))
        greeting = len(client.recv(4096))
        data = b'x' * command['bytes']
        threading.Thread(target=lambda: client.sendall(data), daemon=True).start()
        got = 0
        while got < len(data):
            piece = client.recv(65536)
            if not piece:
                break
            got += len(piece)
        return str(got) if greeting else 'nothing'
    except socket.timeout:
        return 'timeout'
    finally:
        client.close()


def paces(command):
    """Seconds of each of so many questions and answers over one UDP socket."""
    client = make('udp', command['host'])
    client.settimeout(2)
    client.connect((command['host'], command['port']))
    seconds = []
    for _ in range(command['count']):
        at = time.perf_counter()
        client.send(b'x')
        try:
            client.recv(4096)
        except socket.timeout:
            continue
        seconds.append(time.perf_counter() - at)
    return seconds


def run(command):
    op = command['op']
    if op == 'serve':
        ready = threading.Event()
        threading.Thread(target=serve, args=(command, ready), daemon=True).start()
        return {'answer': 'ok' if ready.wait(5) else 'late'}
    if op == 'end':
        # As a process that exits: no more listening, every connection closed by the server.
        for key in [key for key in servers if key[2] == command['address']]:
            servers.pop(key).close()
        for conn in served.pop(command['address'], []):
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return {'answer': 'ok'}
    if op == 'wait':
        # What the other end does by itself: closes, resets, or nothing.
        conn = held[command['hold']]
        conn.settimeout(command.get('timeout', 2))
        try:
            return {'answer': conn.recv(16).decode() or 'closed'}
        except socket.timeout:
            return {'answer': 'open'}
        except OSError as error:
            return {'answer': 'error ' + str(error.errno)}
    if op == 'echo':
        conn = held[command['hold']]
        try:
            conn.sendall(b'ping')
            return {'answer': conn.recv(16).decode() or 'closed'}
        except OSError as error:
            return {'answer': 'error ' + str(error)}
    enter(command['ns'])
    if op == 'flows':
        return {'answers': flows(command)}
    if op == 'bulk':
        return {'answer': bulk(command)}
    if op == 'paces':
        return {'times': paces(command)}
    if op == 'pace':
        answers, until, gap = [], time.monotonic() + command['seconds'], 1 / command['rate']
        at = time.monotonic()
        while at < until:
            answers.append(ask(command)[0])
            at += gap
            time.sleep(max(0, at - time.monotonic()))
        return {'answers': answers}
    answer, seconds = ask(command)
    return {'answer': answer, 'seconds': seconds}


def handle(command):
    try:
        result = run(command)
    except Exception as error:
        result = {'answer': 'broken ' + repr(error)}
    with out:
        print(json.dumps({'id': command['id'], **result}), flush=True)


for line in sys.stdin:
    # Each command in a thread of its own: the namespace that it enters is its own too.
    threading.Thread(target=handle, args=(json.loads(line),), daemon=True).start()
