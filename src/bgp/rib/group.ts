/**
 * Adj-RIB-Out shared by all peers that are told the same: an update group.
 * Two columns say what was last told of each prefix and from which peer it came. Changed prefixes queue once; a flush rewrites and
 * encodes them once, laid out by source peer, and every member gets the same bytes less its own. A member that cannot keep up leaves
 * the stream: a bitmap remembers which prefixes it missed and it is brought up to date from the columns when it has drained, so a peer
 * that reads nothing costs a bit a prefix. First dumps, route refreshes and corrections for one member use the same bitmap.
 */
import type { ExportGroup, ExportGroupOptions, Member } from './group-types.ts';
import { addChange, batchSize, beginBatch, sendBatch } from './batch.ts';
import { release, retain } from './attribute-store.ts';
import { capacityFor, growInt32, growUint16, growUint32, growUint8, startOf } from './columns.ts';
import { createOutgoing } from './outgoing.ts';

const HIGH_WATER = 1024 * 1024;

interface Seat {
  readonly member: Member;
  /** Prefixes it still has to be told; undefined: it follows the stream. */
  missed: Uint32Array | undefined;
  /** First word of `missed` that may hold a bit. */
  cursor: number;
  /** Called once the member has all that there was when it joined or asked. */
  whole: (() => void) | undefined;
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
  const size = prefixes.size;
  let sent: Int32Array = seed?.sent ?? new Int32Array(startOf(8) + size).fill(-1);
  let source: Uint16Array = seed?.source ?? new Uint16Array(startOf(10) + size);
  let queue: Int32Array = new Int32Array(1024);
  let queueHead = 0;
  let queueTail = 0;
  let queuedFlag: Uint8Array = new Uint8Array(startOf(2) + size);
  const outgoing = createOutgoing(options);
  const seats: Seat[] = [...(seed?.seats ?? [])];
  /** Seats that miss something or wait to hear that they have all: a turn looks at no others. */
  const open = new Set(seats.filter(({ missed, whole }) => missed !== undefined || whole !== undefined));

  const fit = (): void => {
    const need = prefixes.size;
    if (source.length < need) source = growUint16(source, capacityFor(source.length, need));
    if (queuedFlag.length < need) queuedFlag = growUint8(queuedFlag, capacityFor(queuedFlag.length, need));
    if (sent.length >= need) return;
    sent = growInt32(sent, capacityFor(sent.length, need), -1);
    const words = (sent.length >>> 5) + 1;
    for (const seat of seats) if (seat.missed !== undefined) seat.missed = growUint32(seat.missed, words);
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

  /** What a seat misses; a turn looks at it from now on. */
  const missedBy = (seat: Seat): Uint32Array => {
    if (seat.missed === undefined) {
      seat.missed = new Uint32Array((sent.length >>> 5) + 1);
      open.add(seat);
    }
    return seat.missed;
  };

  const miss = (seat: Seat, prefix: number): void => {
    const word = prefix >>> 5;
    missedBy(seat)[word]! |= 1 << (prefix & 31);
    if (word < seat.cursor) seat.cursor = word;
  };

  const seatOf = (peer: number): Seat | undefined => seats.find((seat) => seat.member.peer === peer);

  const flush = (budget: number): boolean => {
    fit();
    const end = Math.min(queueTail, queueHead + budget);
    if (end > queueHead) {
      beginBatch();
      const behind = seats.filter((seat) => seat.missed !== undefined || seat.member.backlog() > highWater);
      const following = seats.filter((seat) => !behind.includes(seat)).map(({ member }) => member);
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
        if (rib.deferring && (row < 0 ? oldSource : from) !== 0) continue;
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
        addChange(attr < 0 ? oldSource : from, prefix, attr);
      }
      sendBatch(rib, options.maxLength, following);
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
      beginBatch();
      let word = seat.cursor;
      const slice = Math.min(left, 8192);
      for (; word < missed.length && batchSize() < slice; word++) {
        let bits = missed[word]!;
        if (bits === 0) continue;
        missed[word] = 0;
        while (bits !== 0) {
          const bit = 31 - Math.clz32(bits & -bits);
          bits &= bits - 1;
          const prefix = word * 32 + bit;
          const attr = source[prefix] === member.peer ? -1 : sent[prefix]!;
          addChange(member.peer === 0 ? 1 : 0, prefix, attr);
        }
      }
      seat.cursor = word;
      left -= Math.max(batchSize(), 1);
      sendBatch(rib, options.maxLength, [member]);
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
    for (const seat of open) {
      if (resyncSeat(seat, budget)) more = true;
      // The picture is whole when nothing is queued that was there when the member came.
      if (seat.missed === undefined && seat.whole !== undefined && !rib.deferring && queueHead === queueTail) {
        const { whole } = seat;
        seat.whole = undefined;
        whole();
      }
      if (seat.missed === undefined && seat.whole === undefined) open.delete(seat);
    }
    return more;
  };

  const fill = (seat: Seat): void => {
    fit();
    const missed = missedBy(seat);
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
      if (index >= 0) open.delete(seats.splice(index, 1)[0]!);
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
    get policy() {
      return outgoing.policy;
    },
    setPolicy(next) {
      outgoing.setPolicy(next);
      markAll();
    },
    split(peers, policy) {
      fit();
      const moved = seats.filter(({ member }) => peers.includes(member.peer));
      for (const seat of moved) {
        seats.splice(seats.indexOf(seat), 1);
        open.delete(seat);
      }
      for (let prefix = 0; prefix < sent.length; prefix++) if (sent[prefix]! >= 0) retain(store, sent[prefix]!);
      return seededGroup({ ...options, policy }, { sent: sent.slice(), source: source.slice(), seats: moved });
    },
    close() {
      for (let prefix = 0; prefix < sent.length; prefix++) if (sent[prefix]! >= 0) release(store, sent[prefix]!);
      sent = new Int32Array(0);
      queueHead = queueTail = 0;
      seats.length = 0;
      open.clear();
    },
  };
}
