/**
 * Synthetic routes for the benchmarks, as finished UPDATE messages: prefixes without order, ten to an attribute set, paths of three to
 * eight hops, two to five communities. The same seed gives the same bytes.
 */
import { message } from '../../src/bgp/index.ts';

/** Which routes. */
export interface RouteSet {
  readonly count: number;
  /** Prefixes a message. */
  readonly perUpdate: number;
  /** First AS of every path; 0: an empty path with LOCAL_PREF, for iBGP. */
  readonly asn: number;
  readonly nextHop: string;
  readonly family?: 4 | 6;
  /** First prefix number. */
  readonly from?: number;
  readonly attributeSets?: number;
}

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Value and length of the prefix with a number below 2^20: spread over 128.0.0.0/2, sixty in a hundred of them /24. */
export function prefix4(index: number): readonly [value: number, length: number] {
  // An odd multiplier visits every /24 of a power of two once.
  const slot = (Math.imul(index, 2654435761) >>> 0) % (1 << 20);
  const value = (0x80000000 + slot * 1024) >>> 0;
  return index % 10 < 6 ? [(value + 256) >>> 0, 24] : index % 10 < 8 ? [(value + 512) >>> 0, 23] : [value, 22];
}

function attributesOf(set: RouteSet, number: number): message.PathAttributes {
  const next = random(number + 1);
  const pick = (limit: number): number => Math.floor(next() * limit);
  const hops = Array.from({ length: 2 + pick(6) }, () => 1000 + pick(60_000));
  const communities = Array.from({ length: 2 + pick(4) }, () => ((1000 + pick(30_000)) << 16) | pick(65_536)).map(
    (value) => value >>> 0,
  );
  return {
    origin: 'igp',
    asPath: [{ type: 'sequence', asns: set.asn === 0 ? hops : [set.asn, ...hops] }],
    nextHop: set.nextHop,
    ...(set.asn === 0 ? { localPref: 100 } : {}),
    communities: [...new Set(communities)].sort((a, b) => a - b),
  };
}

/** All messages that announce a set, one after the other. */
export function announcements(set: RouteSet): Uint8Array {
  return build(set, true);
}

/** All messages that withdraw a set. */
export function withdrawals(set: RouteSet): Uint8Array {
  return build({ ...set, perUpdate: 500 }, false);
}

function build(set: RouteSet, announce: boolean): Uint8Array {
  let out = new Uint8Array(1 << 22);
  let at = 0;
  const from = set.from ?? 0;
  const block = new Uint8Array(4096);
  const v6 = set.family === 6;
  for (let index = 0; index < set.count; index += set.perUpdate) {
    if (at + 8192 > out.length) {
      const more = new Uint8Array(out.length * 2);
      more.set(out);
      out = more;
    }
    const start = at;
    at += 19;
    let size = 0;
    if (announce) {
      const { nextHop, ...rest } = attributesOf(set, Math.floor((from + index) / 10));
      size = message.encodeAttributes(v6 ? rest : { ...rest, nextHop: nextHop! }, { peerType: 'ibgp' }, block, 0);
    }
    const end = Math.min(index + set.perUpdate, set.count);
    const words = new Uint32Array(4);
    const nlri = (): void => {
      for (let one = index; one < end; one++) {
        if (v6) {
          words[0] = 0x20010db8;
          words[1] = from + one;
          at = message.writePrefix6(out, at, words, 0, 64, -1);
        } else {
          const [value, length] = prefix4(from + one);
          at = message.writePrefix4(out, at, value, length, -1);
        }
      }
    };
    const put16 = (where: number, value: number): void => {
      out[where] = value >>> 8;
      out[where + 1] = value;
    };
    if (v6) {
      put16(at, 0);
      const length = at + 2;
      at += 4;
      out.set([0x90, announce ? 14 : 15], at);
      const mp = at + 2;
      at += 4;
      if (announce) {
        out.set([0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], at);
        at += 21;
      } else {
        out.set([0, 2, 1], at);
        at += 3;
      }
      nlri();
      put16(mp, at - mp - 2);
      out.set(block.subarray(0, size), at);
      at += size;
      put16(length, at - length - 2);
    } else if (announce) {
      put16(at, 0);
      put16(at + 2, size);
      out.set(block.subarray(0, size), at + 4);
      at += 4 + size;
      nlri();
    } else {
      const length = at;
      at += 2;
      nlri();
      put16(length, at - length - 2);
      put16(at, 0);
      at += 2;
    }
    message.writeHeader(out, start, at - start, 2);
  }
  return out.slice(0, at);
}
