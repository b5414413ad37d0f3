/**
 * The thread in which BFD sessions run, so that a busy main thread never makes one flap.
 * Told sessions by messages; says state changes. Sockets: one receiver a family and port (3784 single hop, 4784 multihop), one sender a
 * session with hop limit 255 and a source port of RFC 5881 section 4's range.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { parentPort } from 'node:worker_threads';
import { decodeBfd, encodeBfd } from './packet.ts';
import type { BfdSession } from './session.ts';
import { createBfdSession } from './session.ts';
import type { BfdCommand, BfdReport } from './messages.ts';

interface Running {
  readonly key: string;
  readonly peer: string;
  readonly session: BfdSession;
  readonly socket: Socket;
  readonly port: number;
  ready: boolean;
  sender: NodeJS.Timeout | undefined;
  detector: NodeJS.Timeout | undefined;
}

const running = new Map<string, Running>();
const receivers = new Map<string, Socket>();
let nextPort = 49_152;

const report = (message: BfdReport): void => parentPort?.postMessage(message);
const bare = (address: string): string => address.replace(/%.*$/, '');

function transmit(one: Running, bytes: Uint8Array): void {
  if (one.ready) one.socket.send(bytes, one.port, one.peer, () => undefined);
}

function schedule(one: Running): void {
  clearTimeout(one.sender);
  const wait = one.session.nextIn(Math.random());
  if (wait === Infinity) return;
  one.sender = setTimeout(() => {
    transmit(one, encodeBfd(one.session.packet()));
    schedule(one);
  }, wait);
}

function changed(one: Running): void {
  const { state, diagnostic, detectionTime } = one.session;
  transmit(one, encodeBfd(one.session.packet()));
  schedule(one);
  report({ type: 'state', key: one.key, state, diagnostic, detectionTime });
}

function watch(one: Running): void {
  clearTimeout(one.detector);
  const left = one.session.expiresAt - performance.now();
  if (left === Infinity) return;
  one.detector = setTimeout(
    () => {
      if (one.session.expire(performance.now())) changed(one);
      else if (one.session.expiresAt !== Infinity) watch(one);
    },
    Math.max(1, Math.ceil(left)),
  );
}

function heard(port: number, bytes: Uint8Array, from: string): void {
  const packet = decodeBfd(bytes);
  if (packet === undefined) return;
  for (const one of running.values()) {
    if (one.port !== port || bare(one.peer) !== bare(from)) continue;
    if (packet.yourDiscriminator !== 0 && packet.yourDiscriminator !== one.session.packet().myDiscriminator) continue;
    const before = one.session.nextIn(0.5);
    const { changed: moved, reply } = one.session.receive(packet, performance.now());
    if (reply !== undefined) transmit(one, encodeBfd(reply));
    watch(one);
    if (moved) changed(one);
    else if (one.session.nextIn(0.5) < before) schedule(one);
  }
}

function listen(family: 4 | 6, port: number): void {
  const key = `${family}/${port}`;
  if (receivers.has(key)) return;
  const socket = createSocket({ type: family === 4 ? 'udp4' : 'udp6', ipv6Only: family === 6, reuseAddr: true });
  receivers.set(key, socket);
  socket.on('message', (bytes, { address }) => heard(port, bytes, address));
  socket.on('error', (error) => {
    receivers.delete(key);
    report({ type: 'error', key: '', reason: `port ${port}: ${error.message}` });
  });
  socket.bind(port);
}

function add(command: Extract<BfdCommand, { type: 'add' }>): void {
  remove(command.key, false);
  const family = command.peer.includes(':') ? 6 : 4;
  const port = command.multihop ? 4784 : 3784;
  listen(family, port);
  const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
  const session = createBfdSession(command);
  const one: Running = {
    key: command.key,
    peer: command.peer,
    session,
    socket,
    port,
    ready: false,
    sender: undefined,
    detector: undefined,
  };
  running.set(command.key, one);
  socket.on('error', (error) => report({ type: 'error', key: command.key, reason: error.message }));
  const bind = (attempts: number): void => {
    const source = nextPort++;
    if (nextPort > 65_535) nextPort = 49_152;
    const again = (): void => {
      if (attempts > 0) bind(attempts - 1);
    };
    socket.once('error', again);
    socket.bind(source, command.localAddress, () => {
      socket.removeListener('error', again);
      socket.setTTL(255);
      one.ready = true;
      transmit(one, encodeBfd(session.packet()));
      schedule(one);
    });
  };
  bind(16);
}

function remove(key: string, say: boolean): void {
  const one = running.get(key);
  if (one === undefined) return;
  running.delete(key);
  clearTimeout(one.sender);
  clearTimeout(one.detector);
  if (!say || !one.ready) {
    one.socket.close();
    return;
  }
  // The peer shall know that this is meant (RFC 5880 section 6.8.16).
  const last = encodeBfd({ ...one.session.packet(), state: 'admin-down', diagnostic: 7 });
  one.socket.send(last, one.port, one.peer, () => one.socket.close());
}

parentPort?.on('message', (command: BfdCommand) => {
  if (command.type === 'add') add(command);
  else if (command.type === 'remove') remove(command.key, true);
  else {
    for (const key of [...running.keys()]) remove(key, true);
    for (const socket of receivers.values()) socket.close();
    setTimeout(() => parentPort?.close(), 20);
  }
});
