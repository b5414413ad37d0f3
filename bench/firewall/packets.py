"""What a packet costs on its way through a node: one process and one thread hold the sockets of every pod, so that a packet's whole
path runs inside the call that sends it. Reads a JSON list of {name, client, server, source, destination, port} (network namespaces
and addresses) from standard input, measures them in turns, and prints {name: {established, new, attempt}} in microseconds (best of all
turns): a round trip of an established flow, one way of a datagram that begins a flow, and a SYN with its answer, for no server listens.
"""
import ctypes, json, os, socket, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
TURNS, PINGS, FRESH = 45, 500, 1000


def inside(namespace, work):
    here = os.open('/proc/self/ns/net', os.O_RDONLY)
    there = os.open('/run/netns/' + namespace, os.O_RDONLY)
    if libc.setns(there, 0x40000000):
        raise OSError(ctypes.get_errno(), 'setns ' + namespace)
    try:
        return work()
    finally:
        libc.setns(here, 0x40000000)
        os.close(here)
        os.close(there)


def datagram(_, source_port, port):
    return struct.pack('!HHHH', source_port, port, 9, 0) + b'x'


def syn(ends, source_port, port):
    fields = [source_port, port, 0, 1, 0, 0, 5 << 12 | 2, 65535, 0, 0]
    total = sum(fields) + sum(struct.unpack('!4H', ends)) + socket.IPPROTO_TCP + 20
    fields[8] = ~(total % 0xffff) & 0xffff
    return struct.pack('!10H', *fields)


def beginnings(protocol, segment, source, destination, port, first):
    """Packets that each begin a flow of their own."""
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    for index in range(FRESH):
        body = segment(ends, first + index, port)
        yield struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + ends + body


def resets():
    """Segments with RST that this namespace sent."""
    with open('/proc/thread-self/net/snmp') as file:
        names, values = [line.split() for line in file if line.startswith('Tcp:')]
    return int(values[names.index('OutRsts')])


class Path:
    def __init__(self, name, client, server, node, source, destination, port):
        self.name, self.node, self.pod, self.to, self.turn = name, node, server, (destination, port), 0
        self.source, self.best = source, {'established': 1e9, 'new': 1e9, 'attempt': 1e9}
        self.server = inside(server, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.server.bind(self.to)
        self.server.settimeout(2)
        self.client = inside(client, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.client.bind((source, 1000))
        self.client.connect(self.to)
        self.client.settimeout(2)
        self.raw = inside(client, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))

    def established(self):
        client, server = self.client, self.server
        client.send(b'x')
        try:
            data, peer = server.recvfrom(16)
        except TimeoutError:
            raise RuntimeError(self.name + ': no packet arrived') from None
        server.sendto(data, peer)
        client.recv(16)
        start = time.perf_counter()
        for _ in range(PINGS):
            client.send(b'x')
            server.recvfrom(16)
            server.sendto(b'x', peer)
            client.recv(16)
        return (time.perf_counter() - start) / PINGS * 1e6

    def begin(self, protocol, segment):
        packets = list(beginnings(protocol, segment, self.source, *self.to, 2000 + self.turn * FRESH))
        send, to = self.raw.sendto, (self.to[0], 0)
        start = time.perf_counter()
        for packet in packets:
            send(packet, to)
        took = (time.perf_counter() - start) / FRESH * 1e6
        subprocess.run(['ip', 'netns', 'exec', self.node, 'conntrack', '-F'], capture_output=True)
        return took

    def new(self):
        took = self.begin(socket.IPPROTO_UDP, datagram)
        seen = 0
        self.server.setblocking(False)
        try:
            while True:
                self.server.recvfrom(16)
                seen += 1
        except BlockingIOError:
            pass
        self.server.settimeout(2)
        if seen == 0:
            raise RuntimeError(self.name + ': no new flow arrived')
        return took

    def attempt(self):
        before = inside(self.pod, resets)
        took = self.begin(socket.IPPROTO_TCP, syn)
        if inside(self.pod, resets) - before < FRESH:
            raise RuntimeError(self.name + ': not every attempt was answered')
        return took


paths = [Path(**one) for one in json.load(sys.stdin)]
for turn in range(TURNS):
    for kind in ('established', 'new', 'attempt'):
        for path in paths:
            path.turn = turn
            path.best[kind] = min(path.best[kind], getattr(path, kind)())
print(json.dumps({path.name: path.best for path in paths}))
