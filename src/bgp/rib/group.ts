/**
 * Adj-RIB-Out shared by all peers that are told the same: an update group.
 * Two columns say what was last told of each prefix and from which peer it came. Changed prefixes queue once; a flush rewrites and
 * encodes them once, laid out by source peer, and every member gets the same bytes less its own. A member that cannot keep up leaves
 * the stream: a bitmap remembers which prefixes it missed and it is brought up to date from the columns when it has drained, so a peer
 * that reads nothing costs a bit a prefix. First dumps, route refreshes and corrections for one member use the same bitmap.
 */
import type { ExportSettings } from './export-attributes.ts';
import { createOutgoing } from './outgoing.ts';
import type { AttributeStore } from './attribute-store.ts';
import { release, retain } from './attribute-store.ts';
import { capacityFor, growInt32, growUint16, growUint32, growUint8 } from './columns.ts';
import type { Packer } from './packer.ts';
import { addPrefix, beginAnnounce, beginWithdraw, createPacker, endMessage, hasRoom } from './packer.ts';
import type { Rib } from './table.ts';

/** Import and export policies as the RIB sees them. */
export interface PolicyHook {
  /** Whether verdicts depend on the prefix, so that they may not be remembered by attribute set. */
  readonly readsPrefix: boolean;
  /**
   * @returns the set that leaves the policy with one reference taken, -1 to reject
   */
  evaluate(attr: number, prefix: number, sourcePeer: number): number;
  /** Whether the last verdict set MED, so that it goes to another AS. */
  readonly keepMed: boolean;
}

/** One peer of a group. */
export interface Member {
  /** Index of the peer, as in `Rib.peers`. */
  readonly peer: number;
  /** Hands bytes to the connection; they are never changed afterwards. */
  write(bytes: Uint8Array): void;
  /** Bytes that the connection has not taken yet. */
  backlog(): number;
  /** The member has all that there was when it joined. */
  onSynced(): void;
}

interface Seat {
  readonly member: Member;
  /** Prefixes it still has to be told; undefined: it follows the stream. */
  missed: Uint32Array | undefined;
  /** First word of `missed` that may hold a bit. */
  cursor: number;
  /** Called once the member has all that there was when it joined or asked. */
  whole: (() => void) | undefined;
}

/** A group of peers of one family. */
export interface ExportGroup {
  readonly rib: Rib;
  readonly settings: ExportSettings;
  /** Queues a prefix whose best path changed. */
  mark(prefix: number): void;
  /** Queues every prefix: the export policy changed. */
  markAll(): void;
  /** Tells what is queued, up to `budget` prefixes. @returns whether there is more to do now */
  flush(budget: number): boolean;
  /** Brings members that missed prefixes up to date as far as their connections take it. */
  resync(budget: number): boolean;
  join(member: Member): void;
  leave(peer: number): void;
  /** Tells a member everything again (RFC 2918), then calls back. */
  refresh(peer: number, done: () => void): void;
  readonly members: readonly Member[];
  /** Whether a prefix may not be forgotten yet. */
  needs(prefix: number): boolean;
  /** What a member was last told of a prefix. */
  told(
    prefix: number,
    peer: number,
  ): readonly { readonly attr: number; readonly pathId: number; readonly source: number }[];
  readonly queued: number;
  setPolicy(policy: PolicyHook | undefined): void;
  /** Moves some of the members, with all that they were told, to a group of their own under another policy. */
  split(peers: readonly number[], policy: PolicyHook | undefined): ExportGroup;
  close(): void;
}

/** How a group is made. */
export interface ExportGroupOptions {
  readonly rib: Rib;
  readonly settings: ExportSettings;
  readonly policy?: PolicyHook | undefined;
  /** Last rewriting of a set, such as to two-octet AS numbers: takes a set with its reference, returns another with one; -1 none. */
  readonly translate?: ((attr: number) => number) | undefined;
  /** Longest message, 4096 or 65535. */
  readonly maxLength: number;
  /** Bytes a connection may have in hand before its member leaves the stream. @defaultValue 1 MiB */
  readonly highWater?: number;
}

const OUT_SIZE = 512 * 1024;
const out = new Uint8Array(OUT_SIZE + 65_536);
const HIGH_WATER = 1024 * 1024;

/** Work columns of a flush, shared by all groups: one flush runs at a time. */
let itemPrefix: Int32Array = new Int32Array(4096);
let itemAttr: Int32Array = new Int32Array(4096);
let itemNext: Int32Array = new Int32Array(4096);
let bucketStamp: Int32Array = new Int32Array(1024);
let bucketHead: Int32Array = new Int32Array(1024);
let bucketTail: Int32Array = new Int32Array(1024);
let stamp = 0;

function fitItems(count: number): void {
  if (count < itemPrefix.length) return;
  const n = capacityFor(itemPrefix.length, count + 1);
  itemPrefix = growInt32(itemPrefix, n, 0);
  itemAttr = growInt32(itemAttr, n, 0);
  itemNext = growInt32(itemNext, n, 0);
}

function fitBuckets(store: AttributeStore): void {
  if (bucketStamp.length >= store.size) return;
  const n = capacityFor(bucketStamp.length, store.size);
  bucketStamp = growInt32(bucketStamp, n, 0);
  bucketHead = growInt32(bucketHead, n, 0);
  bucketTail = growInt32(bucketTail, n, 0);
}

interface Segment {
  readonly source: number;
  start: number;
  end: number;
}

/** Chains of items by their source peer; attr -1 items are withdrawals. */
interface Chains {
  count: number;
  readonly heads: Map<number, number>;
  readonly tails: Map<number, number>;
}

function push(chains: Chains, source: number, prefix: number, attr: number): void {
  const item = chains.count++;
  fitItems(item);
  itemPrefix[item] = prefix;
  itemAttr[item] = attr;
  itemNext[item] = -1;
  const tail = chains.tails.get(source);
  if (tail === undefined) chains.heads.set(source, item);
  else itemNext[tail] = item;
  chains.tails.set(source, item);
}

/** What a group takes over from the one that it was split from. */
interface Seed {
  readonly sent: Int32Array;
  readonly source: Uint16Array;
  readonly seats: readonly Seat[];
}

/** Makes an {@link ExportGroup}. */
export function createExportGroup(options: ExportGroupOptions): ExportGroup {
  return seededGroup(options, undefined);
}

function seededGroup(options: ExportGroupOptions, seed: Seed | undefined): ExportGroup {
  const { rib, settings } = options;
  const { store, prefixes } = rib;
  const highWater = options.highWater ?? HIGH_WATER;
  let sent: Int32Array = seed?.sent ?? new Int32Array(rib.head.length).fill(-1);
  let source: Uint16Array = seed?.source ?? new Uint16Array(rib.head.length);
  let queue: Int32Array = new Int32Array(1024);
  let queueHead = 0;
  let queueTail = 0;
  let queuedFlag: Uint8Array = new Uint8Array(sent.length);
  const outgoing = createOutgoing(options);
  const seats: Seat[] = [...(seed?.seats ?? [])];

  const fit = (): void => {
    const n = rib.head.length;
    if (sent.length >= n) return;
    sent = growInt32(sent, n, -1);
    source = growUint16(source, n);
    queuedFlag = growUint8(queuedFlag, n);
    for (const seat of seats) if (seat.missed !== undefined) seat.missed = growUint32(seat.missed, (n >>> 5) + 1);
  };

  const mark = (prefix: number): void => {
    if (prefix >= queuedFlag.length) fit();
    if (queuedFlag[prefix] === 1) return;
    queuedFlag[prefix] = 1;
    if (queueTail === queue.length) {
      if (queueHead > queue.length >> 1) {
        queue.copyWithin(0, queueHead, queueTail);
        queueTail -= queueHead;
        queueHead = 0;
      } else queue = growInt32(queue, queue.length * 2, 0);
    }
    queue[queueTail++] = prefix;
  };

  const newPacker = (): Packer => createPacker(prefixes, store, options.maxLength, out);

  const miss = (seat: Seat, prefix: number): void => {
    seat.missed ??= new Uint32Array((sent.length >>> 5) + 1);
    const word = prefix >>> 5;
    seat.missed[word]! |= 1 << (prefix & 31);
    if (word < seat.cursor) seat.cursor = word;
  };

  const seatOf = (peer: number): Seat | undefined => seats.find((seat) => seat.member.peer === peer);

  /** Hands the finished buffer to `receivers`, each less the segments of its own routes. */
  const deliver = (packer: Packer, segments: readonly Segment[], receivers: readonly Seat[]): void => {
    if (packer.at === 0) return;
    const bytes = packer.bytes.slice(0, packer.at);
    for (const { member } of receivers) {
      let from = -1;
      let to = 0;
      for (const segment of segments) {
        if (segment.source === member.peer || segment.end === segment.start) continue;
        if (from >= 0 && segment.start !== to) {
          member.write(bytes.subarray(from, to));
          from = -1;
        }
        if (from < 0) from = segment.start;
        to = segment.end;
      }
      if (from >= 0) member.write(bytes.subarray(from, to));
    }
    packer.at = 0;
  };

  /** Encodes chains of items, withdrawals first, sets together, in order of arrival. */
  const encode = (chains: Chains, receivers: readonly Seat[]): void => {
    if (chains.count === 0 || receivers.length === 0) return;
    fitBuckets(store);
    const packer = newPacker();
    let segments: Segment[] = [];
    for (const [from, head] of chains.heads) {
      let segment: Segment = { source: from, start: packer.at, end: packer.at };
      segments.push(segment);
      const room = (): void => {
        if (hasRoom(packer) && packer.at < OUT_SIZE) return;
        segment.end = packer.at;
        deliver(packer, segments, receivers);
        segment = { source: from, start: 0, end: 0 };
        segments = [segment];
      };
      const order: number[] = [];
      stamp++;
      let open = false;
      for (let item = head, next: number; item >= 0; item = next) {
        next = itemNext[item]!;
        const attr = itemAttr[item]!;
        if (attr < 0) {
          if (!open) {
            room();
            beginWithdraw(packer);
            open = true;
          }
          if (!addPrefix(packer, itemPrefix[item]!, -1)) {
            endMessage(packer);
            room();
            beginWithdraw(packer);
            addPrefix(packer, itemPrefix[item]!, -1);
          }
          continue;
        }
        itemNext[item] = -1;
        if (bucketStamp[attr] !== stamp) {
          bucketStamp[attr] = stamp;
          bucketHead[attr] = item;
          order.push(attr);
        } else itemNext[bucketTail[attr]!] = item;
        bucketTail[attr] = item;
      }
      if (open) endMessage(packer);
      for (const attr of order) {
        room();
        if (!beginAnnounce(packer, attr)) continue;
        for (let item = bucketHead[attr]!; item >= 0; item = itemNext[item]!) {
          if (addPrefix(packer, itemPrefix[item]!, -1)) continue;
          endMessage(packer);
          room();
          beginAnnounce(packer, attr);
          addPrefix(packer, itemPrefix[item]!, -1);
        }
        endMessage(packer);
      }
      segment.end = packer.at;
    }
    deliver(packer, segments, receivers);
  };

  const flush = (budget: number): boolean => {
    fit();
    const end = Math.min(queueTail, queueHead + budget);
    if (end > queueHead) {
      const chains: Chains = { count: 0, heads: new Map(), tails: new Map() };
      const behind = seats.filter((seat) => seat.missed !== undefined || seat.member.backlog() > highWater);
      const following = seats.filter((seat) => !behind.includes(seat));
      const lone = seats.length === 1 ? seats[0]!.member.peer : -1;
      const stale: number[] = [];
      const { suppressed } = rib;
      for (; queueHead < end; queueHead++) {
        const prefix = queue[queueHead]!;
        queuedFlag[prefix] = 0;
        const row = suppressed?.[prefix] === 1 ? -1 : rib.best[prefix]!;
        const old = sent[prefix]!;
        const oldSource = source[prefix]!;
        const from = row < 0 ? 0 : rib.rowPeer[row]!;
        // With one member there is nobody to tell what that member said.
        const attr = row < 0 || (from === lone && old < 0) ? -1 : outgoing.of(rib.rowAttr[row]!, prefix, from);
        if (attr === old && (attr < 0 || from === oldSource)) continue;
        if (attr !== old) {
          if (attr >= 0) retain(store, attr);
          if (old >= 0) stale.push(old);
          sent[prefix] = attr;
        }
        if (attr >= 0) source[prefix] = from;
        for (const seat of behind) miss(seat, prefix);
        if (old >= 0 && attr >= 0 && from !== oldSource) {
          const now = seatOf(from);
          if (now !== undefined) miss(now, prefix);
          if (attr === old) {
            const before = seatOf(oldSource);
            if (before !== undefined) miss(before, prefix);
            continue;
          }
        }
        push(chains, attr < 0 ? oldSource : from, prefix, attr);
      }
      encode(chains, following);
      for (const attr of stale) release(store, attr);
      outgoing.settle();
      if (queueHead === queueTail) queueHead = queueTail = 0;
    }
    return queueHead < queueTail;
  };

  const resyncSeat = (seat: Seat, budget: number): boolean => {
    const { missed, member } = seat;
    if (missed === undefined) return false;
    let left = budget;
    while (left > 0 && member.backlog() < highWater) {
      const chains: Chains = { count: 0, heads: new Map(), tails: new Map() };
      let word = seat.cursor;
      const slice = Math.min(left, 8192);
      for (; word < missed.length && chains.count < slice; word++) {
        let bits = missed[word]!;
        if (bits === 0) continue;
        missed[word] = 0;
        while (bits !== 0) {
          const bit = 31 - Math.clz32(bits & -bits);
          bits &= bits - 1;
          const prefix = word * 32 + bit;
          const attr = source[prefix] === member.peer ? -1 : sent[prefix]!;
          push(chains, member.peer === 0 ? 1 : 0, prefix, attr);
        }
      }
      seat.cursor = word;
      left -= Math.max(chains.count, 1);
      encode(chains, [seat]);
      if (word >= missed.length) {
        seat.missed = undefined;
        seat.cursor = 0;
        return false;
      }
    }
    return member.backlog() < highWater;
  };

  const resync = (budget: number): boolean => {
    let more = false;
    fit();
    for (const seat of seats) {
      if (resyncSeat(seat, budget)) more = true;
      // The picture is whole when nothing is queued that was there when the member came.
      if (seat.missed === undefined && seat.whole !== undefined && queueHead === queueTail) {
        const { whole } = seat;
        seat.whole = undefined;
        whole();
      }
    }
    return more;
  };

  const fill = (seat: Seat): void => {
    fit();
    seat.missed ??= new Uint32Array((sent.length >>> 5) + 1);
    const missed = seat.missed;
    for (let prefix = 0; prefix < prefixes.size; prefix++) {
      if (sent[prefix]! >= 0 && source[prefix] !== seat.member.peer) missed[prefix >>> 5]! |= 1 << (prefix & 31);
    }
    seat.cursor = 0;
  };

  const markAll = (): void => {
    fit();
    outgoing.clear();
    for (let prefix = 0; prefix < prefixes.size; prefix++) {
      if (rib.best[prefix]! >= 0 || sent[prefix]! >= 0) mark(prefix);
    }
  };

  markAll();
  return {
    rib,
    settings,
    mark,
    markAll,
    flush,
    resync,
    join(member) {
      const seat: Seat = { member, missed: undefined, cursor: 0, whole: () => member.onSynced() };
      // A lone member's own routes were left out of the columns; whoever comes next needs them.
      if (seats.length === 1) {
        const lone = seats[0]!.member.peer;
        for (let prefix = 0; prefix < prefixes.size; prefix++) {
          const row = rib.best[prefix]!;
          if (row >= 0 && sent[prefix]! < 0 && rib.rowPeer[row] === lone) mark(prefix);
        }
      }
      seats.push(seat);
      fill(seat);
    },
    leave(peer) {
      const index = seats.findIndex((seat) => seat.member.peer === peer);
      if (index >= 0) seats.splice(index, 1);
    },
    refresh(peer, done) {
      const seat = seatOf(peer);
      if (seat === undefined) return;
      const before = seat.whole;
      seat.whole = () => {
        before?.();
        done();
      };
      fill(seat);
    },
    get members() {
      return seats.map((seat) => seat.member);
    },
    needs(prefix) {
      if (prefix < queuedFlag.length && (queuedFlag[prefix] === 1 || sent[prefix]! >= 0)) return true;
      for (let index = 0; index < seats.length; index++) {
        const { missed } = seats[index]!;
        if (missed !== undefined && ((missed[prefix >>> 5] ?? 0) & (1 << (prefix & 31))) !== 0) return true;
      }
      return false;
    },
    told(prefix, peer) {
      const attr = sent[prefix] ?? -1;
      return attr < 0 || source[prefix] === peer ? [] : [{ attr, pathId: 0, source: source[prefix]! }];
    },
    get queued() {
      return queueTail - queueHead;
    },
    setPolicy(next) {
      outgoing.setPolicy(next);
      markAll();
    },
    split(peers, policy) {
      fit();
      const moved = seats.filter(({ member }) => peers.includes(member.peer));
      for (const seat of moved) seats.splice(seats.indexOf(seat), 1);
      for (let prefix = 0; prefix < sent.length; prefix++) if (sent[prefix]! >= 0) retain(store, sent[prefix]!);
      return seededGroup({ ...options, policy }, { sent: sent.slice(), source: source.slice(), seats: moved });
    },
    close() {
      for (let prefix = 0; prefix < sent.length; prefix++) if (sent[prefix]! >= 0) release(store, sent[prefix]!);
      sent = new Int32Array(0);
      queueHead = queueTail = 0;
      seats.length = 0;
    },
  };
}
