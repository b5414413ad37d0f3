/**
 * Socket options that node:net lacks, behind one small port: TCP MD5 (RFC 2385), hop limits and their check (RFC 5082).
 * Back ends are tried in turn: node:ffi of Node 26, then koffi when it is installed. Both reach the descriptor of a socket, which Node
 * does not document: that knowledge stays in this file.
 */
import { createRequire } from 'node:module';
import type { Server } from 'node:net';
import { Socket } from 'node:net';
import { SdkError, addressToBytes, parseAddress } from '../../net/index.ts';
import type { PeerSecurity } from './transport.ts';

/** Sets what node:net cannot. */
export interface SocketOptions {
  /**
   * An unconnected socket towards a peer with its protection set.
   * @throws SdkError `SOCKET_UNSUPPORTED`
   */
  client(address: string, security: PeerSecurity): Socket;
  /**
   * Sets hop limits and their check on an accepted socket.
   * @throws SdkError `SOCKET_UNSUPPORTED`
   */
  accepted(socket: Socket, security: PeerSecurity): void;
  /**
   * Protects connections that a peer makes to a listener; without security the protection is taken back.
   * @throws SdkError `SOCKET_UNSUPPORTED`
   */
  server(server: Server, peer: string, security: PeerSecurity | undefined): void;
}

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  close(fd: number): number;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_IP = 0;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
const IP_TTL = 2;
const IP_MINTTL = 21;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MINHOPCOUNT = 73;
const TCP_MD5SIG = 14;
const MD5_MAX_KEY = 80;

interface FfiLibrary {
  getFunction(
    name: string,
    signature: { arguments: readonly string[]; return: string },
  ): (...args: unknown[]) => unknown;
}

const SIGNATURES = {
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  setsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'], return: 'i32' },
  close: { arguments: ['i32'], return: 'i32' },
} as const;

/** Loads a module whose experimental state is known here and no news to whoever uses us: there is another back end. */
function loadQuietly(load: NodeJS.Require, name: string): unknown {
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return load(name);
  } finally {
    process.emitWarning = emitWarning;
  }
}

function loadLibc(): Libc | undefined {
  const require = createRequire(import.meta.url);
  try {
    const ffi = loadQuietly(require, 'node:ffi') as {
      dlopen(path: string | null, functions?: object): unknown;
      DynamicLibrary?: new (path: string | null) => FfiLibrary;
    };
    const opened = ffi.dlopen(null, SIGNATURES) as { functions?: Libc } & Partial<Libc>;
    return (opened.functions ?? opened) as Libc;
  } catch {
    // Not this Node: the next back end.
  }
  try {
    const koffi = require('koffi') as {
      load(path: string | null): { func(text: string): (...args: unknown[]) => number };
    };
    const libc = koffi.load(null);
    return {
      socket: libc.func('int socket(int, int, int)'),
      setsockopt: libc.func('int setsockopt(int, int, int, const uint8_t *, unsigned int)'),
      close: libc.func('int close(int)'),
    };
  } catch {
    return undefined;
  }
}

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

/** `struct tcp_md5sig`: sockaddr_storage, flags, prefix length, key length, interface, key. */
function md5Struct(address: string, password: string, mapped: boolean): Uint8Array {
  const bytes = new Uint8Array(216);
  const view = new DataView(bytes.buffer);
  const parsed = parseAddress(address.replace(/%.*$/, ''));
  const octets = addressToBytes(parsed);
  if (parsed.family === 4 && !mapped) {
    view.setUint16(0, AF_INET, true);
    bytes.set(octets, 4);
  } else {
    view.setUint16(0, AF_INET6, true);
    if (parsed.family === 4) bytes.set([0xff, 0xff, ...octets], 18);
    else bytes.set(octets, 8);
  }
  const key = new TextEncoder().encode(password);
  if (key.length > MD5_MAX_KEY)
    throw new SdkError('TCP MD5 key longer than 80 octets', { code: 'INVALID_OPTION', details: { path: 'password' } });
  view.setUint16(130, key.length, true);
  bytes.set(key, 136);
  return bytes;
}

/** Whether a session must not come up without its protection. */
function needed(security: PeerSecurity | undefined): boolean {
  return security?.password !== undefined || security?.ttlSecurityHops !== undefined;
}

/** Makes the {@link SocketOptions} of this system; nothing is loaded before it is needed. */
export function createSocketOptions(): SocketOptions {
  let libc: Libc | undefined;
  let looked = false;

  const find = (): Libc | undefined => {
    if (!looked) {
      looked = true;
      libc = loadLibc();
    }
    return libc;
  };

  const need = (what: string): Libc => {
    const found = find();
    if (found !== undefined) return found;
    throw new SdkError(`${what} needs node:ffi (Node 26) or the package koffi`, {
      code: 'SOCKET_UNSUPPORTED',
      details: { what },
    });
  };

  const set = (fd: number, level: number, name: number, value: Uint8Array, what: string): void => {
    if (need(what).setsockopt(fd, level, name, value, value.length) === 0) return;
    throw new SdkError(`the system refuses ${what}`, { code: 'SOCKET_UNSUPPORTED', details: { what } });
  };

  const setHops = (fd: number, v6: boolean, security: PeerSecurity): void => {
    const hops = security.ttlSecurityHops;
    const ttl = hops === undefined ? security.ttl : 255;
    if (ttl !== undefined)
      set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, int32(ttl), 'a hop limit');
    if (hops !== undefined) {
      set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MINHOPCOUNT : IP_MINTTL, int32(256 - hops), 'TTL security');
    }
  };

  return {
    client(address, security) {
      // A hop limit alone is a precaution: where it cannot be set the session goes without.
      if (!needed(security) && (security.ttl === undefined || find() === undefined)) return new Socket();
      const v6 = address.includes(':');
      const fd = need('socket protection').socket(
        v6 ? AF_INET6 : AF_INET,
        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
        0,
      );
      if (fd < 0)
        throw new SdkError('cannot make a socket', { code: 'SOCKET_UNSUPPORTED', details: { what: 'socket' } });
      try {
        if (security.password !== undefined)
          set(fd, IPPROTO_TCP, TCP_MD5SIG, md5Struct(address, security.password, false), 'TCP MD5');
        setHops(fd, v6, security);
      } catch (error) {
        need('socket protection').close(fd);
        throw error;
      }
      return new Socket({ fd });
    },
    accepted(socket, security) {
      if (security.ttlSecurityHops === undefined && (security.ttl === undefined || find() === undefined)) return;
      const handle = (socket as unknown as { _handle?: { fd?: number } })._handle;
      const fd = handle?.fd ?? -1;
      if (fd < 0)
        throw new SdkError('the socket has no descriptor', { code: 'SOCKET_UNSUPPORTED', details: { what: 'fd' } });
      // An IPv4 peer of an IPv6 socket cannot be: listeners are of one family each.
      setHops(fd, socket.remoteFamily === 'IPv6', security);
    },
    server(server, peer, security) {
      const handle = (server as unknown as { _handle?: { fd?: number } })._handle;
      const fd = handle?.fd ?? -1;
      if (fd < 0) return;
      if (security?.password === undefined) {
        // Nothing was ever set when nothing was ever loaded.
        if (looked && libc !== undefined) libc.setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, md5Struct(peer, '', false), 216);
        return;
      }
      set(fd, IPPROTO_TCP, TCP_MD5SIG, md5Struct(peer, security.password, false), 'TCP MD5');
    },
  };
}
