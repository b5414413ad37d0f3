// A pod's only process: answers TCP and UDP on the ports it is given, and probes others when told to on standard input.
// One JSON object a line: {id, protocol, host, port} → {id, result}; {id, open} keeps a TCP connection, {id, ping} uses it.
import dgram from 'node:dgram';
import net from 'node:net';
import { createInterface } from 'node:readline';

const [addresses, ports] = process.argv.slice(2).map((list) => list.split(',').filter((item) => item !== ''));
let waiting = addresses.length * ports.length * 2;
const ready = () => --waiting === 0 && console.log('ready');
for (const address of addresses) {
  for (const port of ports.map(Number)) {
    net
      .createServer((socket) => socket.on('error', () => undefined).on('data', (data) => socket.write(data)))
      .listen(port, address, ready);
    const server = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    server.on('message', (data, from) => server.send(data, from.port, from.address));
    server.bind(port, address, ready);
  }
}
if (waiting === 0) console.log('ready');

const kept = new Map();
const answer = (id, result) => console.log(JSON.stringify({ id, result }));

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, protocol, host, port, open, ping } = JSON.parse(line);
  // A SYN is sent again after a second: on a starved machine only the second one tells a rejection from a drop. IPv6 rejections are
  // not seen by every kernel's connect() and would all wait for it.
  const timeout = host?.includes('.') ? 1_300 : 400;
  let over = false;
  const done = (result, end) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    end?.();
    answer(id, result);
  };
  let end;
  const timer = setTimeout(() => done('dropped', end), timeout);
  if (ping !== undefined) {
    const socket = kept.get(ping);
    socket.once('data', () => done('passed'));
    socket.write('ping');
  } else if (protocol === 'tcp') {
    const socket = net.connect({ host, port });
    end = () => (open === undefined || !socket.writable ? socket.destroy() : kept.set(open, socket));
    socket.on('error', (error) => done(error.code === 'ECONNREFUSED' ? 'rejected' : error.code, end));
    socket.on('connect', () => done('passed', end));
  } else {
    const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    end = () => socket.close();
    socket.on('error', () => done('rejected', end));
    socket.on('message', () => done('passed', end));
    socket.connect(port, host, (error) => (error ? done('rejected', end) : socket.send('probe')));
  }
});
