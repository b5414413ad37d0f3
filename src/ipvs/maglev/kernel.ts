/**
 * An exact model of the kernel's `mh` scheduler, so that a program can say which real server a flow reaches.
 * It follows the behaviour of net/netfilter/ipvs/ip_vs_mh.c of Linux 6.1: half-SipHash with its two fixed keys (on 64-bit
 * machines that is SipHash-1-3 cut to 32 bits), turns by weight, newest real server first. Pure, no I/O.
 */
import { parseAddress } from '../../net/address.ts';

/** A real server as the kernel knows it. */
export interface MhServer {
  readonly address: string;
  readonly port: number;
  /** Current weight; 0 takes no new flow but keeps its entries. */
  readonly weight: number;
  /** The last weight that was not 0. @defaultValue `weight` */
  readonly lastWeight?: number;
}

/** Options of {@link mhTable}. */
export interface MhOptions {
  /** Entries, a prime of the kernel's list; CONFIG_IP_VS_MH_TAB_INDEX 12 means 4093. @defaultValue 4093 */
  readonly size?: number;
  /** Flag `mh-port`: the source port is hashed too. @defaultValue false */
  readonly port?: boolean;
  /** Flag `mh-fallback`: another server when the chosen one takes no new flow. @defaultValue false */
  readonly fallback?: boolean;
}

/** A table of the kernel. */
export interface MhTable {
  /** In the order of insertion. */
  readonly servers: readonly MhServer[];
  /** Entry to index into `servers`; -1 when no server ever had a weight. */
  readonly entries: Int16Array;
  readonly port: boolean;
  readonly fallback: boolean;
}

const MASK = 0xffffffffffffffffn;
const KEY1 = 2654435761n;
const KEY2 = 2654446892n;
/** Bits of the highest weight that the table tells apart at its default size: half of the table index 12. */
const WEIGHT_BITS = 6;

const rotl = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & MASK;

/** hsiphash of one 32-bit word under a key whose two halves are equal. */
export function hsiphash32(word: number, key: bigint): number {
  let v0 = 0x736f6d6570736575n ^ key;
  let v1 = 0x646f72616e646f6dn ^ key;
  let v2 = 0x6c7967656e657261n ^ key;
  let v3 = 0x7465646279746573n ^ key;
  const round = (): void => {
    v0 = (v0 + v1) & MASK;
    v1 = rotl(v1, 13n) ^ v0;
    v0 = rotl(v0, 32n);
    v2 = (v2 + v3) & MASK;
    v3 = rotl(v3, 16n) ^ v2;
    v0 = (v0 + v3) & MASK;
    v3 = rotl(v3, 21n) ^ v0;
    v2 = (v2 + v1) & MASK;
    v1 = rotl(v1, 17n) ^ v2;
    v2 = rotl(v2, 32n);
  };
  const last = (4n << 56n) | BigInt(word >>> 0);
  v3 ^= last;
  round();
  v0 ^= last;
  v2 ^= 0xffn;
  round();
  round();
  round();
  return Number((v0 ^ v1 ^ v2 ^ v3) & 0xffffffffn);
}

/** The address as one 32-bit word: IPv6 folded by exclusive or. */
function fold(address: string): number {
  const parsed = parseAddress(address);
  if (parsed.family === 4) return parsed.value >>> 0;
  return parsed.words.reduce((all, word) => (all ^ word) >>> 0, 0);
}

function hashKey(address: string, port: number, key: bigint, offset = 0): number {
  return hsiphash32((offset + port + fold(address)) >>> 0, key);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** The table that the kernel has after inserting `servers` in this order. */
export function mhTable(servers: readonly MhServer[], options: MhOptions = {}): MhTable {
  const size = options.size ?? 4093;
  const entries = new Int16Array(size).fill(-1);
  const table = { servers, entries, port: options.port ?? false, fallback: options.fallback ?? false };
  const last = servers.map((server) => server.lastWeight ?? server.weight);
  const divisor = last.reduce((all, weight) => (weight > 0 ? gcd(weight, all) : all), 0);
  if (divisor < 1) return table;
  const heaviest = Math.floor(Math.max(...last) / divisor);
  const shift = Math.max(0, 32 - Math.clz32(heaviest) - WEIGHT_BITS);
  // The kernel inserts at the head of its list, so the newest server has the first turn.
  const setups = servers
    .map((server, index) => ({
      index,
      perm: hashKey(server.address, server.port, KEY1) % size,
      skip: (hashKey(server.address, server.port, KEY2) % (size - 1)) + 1,
      turns: Math.floor((last[index] ?? 0) / divisor) >> shift || ((last[index] ?? 0) !== 0 ? 1 : 0),
    }))
    .reverse();
  let filled = 0;
  for (;;) {
    for (const setup of setups) {
      for (let turn = 0; turn < setup.turns; turn++) {
        while (entries[setup.perm] !== -1) {
          setup.perm += setup.skip;
          if (setup.perm >= size) setup.perm -= size;
        }
        entries[setup.perm] = setup.index;
        if (++filled === size) return table;
      }
    }
  }
}

/** The real server that a new flow from this source reaches; undefined when the kernel refuses it. */
export function mhLookup(table: MhTable, source: string, sourcePort: number): MhServer | undefined {
  const size = table.entries.length;
  const port = table.port ? sourcePort : 0;
  const first = hashKey(source, port, KEY1) % size;
  const server = table.servers[table.entries[first] ?? -1];
  if (server === undefined || server.weight > 0) return server;
  if (!table.fallback) return undefined;
  for (let offset = 0; offset < size; offset++) {
    const entry = hashKey(source, port, KEY1, (offset + first) % size) % size;
    const other = table.servers[table.entries[entry] ?? -1];
    if (other === undefined) return undefined;
    if (other.weight > 0) return other;
  }
  return undefined;
}
