/**
 * Adj-RIB-Out for peers that take several paths of a prefix (RFC 7911): one table a member.
 * Path identifiers are given once to each source and its own identifier, so a path keeps its number while it lives. A member that cannot
 * keep up just has more prefixes waiting; each is told as it is when its turn comes.
 */
import { release, retain } from './attribute-store.ts';
import { usableRows } from './decision.ts';
import type { ExportGroup, ExportGroupOptions, Member } from './group-types.ts';
import { createOutgoing } from './outgoing.ts';
import { addPrefix, beginAnnounce, beginWithdraw, createPacker, endMessage, hasRoom } from './packer.ts';

interface Seat {
  readonly member: Member;
  readonly waiting: Set<number>;
  /** Sets told, by prefix and path identifier. */
  readonly told: Map<number, Map<number, number>>;
  /** Prefixes to be told again whether or not they changed. */
  readonly again: Set<number>;
  whole: (() => void) | undefined;
}

const out = new Uint8Array(256 * 1024 + 65_536);

type PathGroupOptions = ExportGroupOptions & { readonly limit: number };

/** Makes a group whose members take up to `limit` paths a prefix. */
export function createPathGroup(options: PathGroupOptions): ExportGroup {
  return groupOf(options, [], new Map());
}

function groupOf(options: PathGroupOptions, seats: Seat[], ids: Map<string, number>): ExportGroup {
  const { rib, settings, limit } = options;
  const { store, prefixes } = rib;
  const highWater = options.highWater ?? 1024 * 1024;
  const outgoing = createOutgoing(options);

  const idOf = (row: number): number => {
    const key = `${rib.rowPeer[row]}/${rib.rowPathId?.[row] ?? 0}`;
    let id = ids.get(key);
    if (id === undefined) ids.set(key, (id = ids.size + 1));
    return id;
  };

  /** Paths to tell of a prefix: the best first. */
  const wanted = (prefix: number, member: number, told?: ReadonlyMap<number, number>): Map<number, number> => {
    const paths = new Map<number, number>();
    if (rib.head[prefix]! < 0 || rib.suppressed?.[prefix] === 1) return paths;
    const best = rib.best[prefix]!;
    const rows = usableRows(rib, prefix).sort((a, b) => Number(b === best) - Number(a === best));
    for (const row of rows) {
      if (paths.size >= limit) break;
      const source = rib.rowPeer[row]!;
      if (source === member) continue;
      if (rib.deferring && source !== 0 && told?.has(idOf(row)) !== true) continue;
      const attr = outgoing.of(rib.rowAttr[row]!, prefix, source);
      if (attr >= 0) paths.set(idOf(row), attr);
    }
    return paths;
  };

  const send = (seat: Seat, budget: number): boolean => {
    const { member, waiting, told, again } = seat;
    const packer = createPacker(prefixes, store, options.maxLength, out);
    const withdrawals: (readonly [prefix: number, id: number])[] = [];
    const byAttr = new Map<number, (readonly [prefix: number, id: number])[]>();
    const stale: number[] = [];
    let left = budget;
    for (const prefix of waiting) {
      if (left-- <= 0) break;
      waiting.delete(prefix);
      const resend = again.delete(prefix);
      const before = told.get(prefix);
      const now = wanted(prefix, member.peer, before);
      for (const [id, attr] of before ?? []) {
        if (now.get(id) === undefined) withdrawals.push([prefix, id]);
        stale.push(attr);
      }
      for (const [id, attr] of now) {
        retain(store, attr);
        if (!resend && before?.get(id) === attr) continue;
        const list = byAttr.get(attr);
        if (list === undefined) byAttr.set(attr, [[prefix, id]]);
        else list.push([prefix, id]);
      }
      if (now.size > 0) told.set(prefix, now);
      else told.delete(prefix);
    }
    const room = (): void => {
      if (hasRoom(packer) || packer.at === 0) return;
      member.write(packer.bytes.slice(0, packer.at));
      packer.at = 0;
    };
    const put = (list: readonly (readonly [number, number])[], begin: () => boolean): void => {
      if (list.length === 0) return;
      room();
      if (!begin()) return;
      for (const [prefix, id] of list) {
        if (addPrefix(packer, prefix, id)) continue;
        endMessage(packer);
        room();
        begin();
        addPrefix(packer, prefix, id);
      }
      endMessage(packer);
    };
    put(withdrawals, () => {
      beginWithdraw(packer);
      return true;
    });
    for (const [attr, list] of byAttr) put(list, () => beginAnnounce(packer, attr));
    if (packer.at > 0) member.write(packer.bytes.slice(0, packer.at));
    for (const attr of stale) release(store, attr);
    outgoing.settle();
    return waiting.size > 0;
  };

  const fill = (seat: Seat): void => {
    for (let prefix = 0; prefix < prefixes.size; prefix++) {
      if (rib.head[prefix]! >= 0 || seat.told.has(prefix)) seat.waiting.add(prefix);
    }
  };
  const drop = (seat: Seat): void => {
    for (const paths of seat.told.values()) for (const attr of paths.values()) release(store, attr);
    seat.told.clear();
  };
  const seatOf = (peer: number): Seat | undefined => seats.find((seat) => seat.member.peer === peer);

  return {
    rib,
    settings,
    mark(prefix) {
      for (const seat of seats) seat.waiting.add(prefix);
    },
    markAll() {
      outgoing.clear();
      for (const seat of seats) fill(seat);
    },
    flush(budget) {
      let more = false;
      for (const seat of seats) {
        if (seat.waiting.size > 0 && seat.member.backlog() < highWater && send(seat, budget)) more = true;
      }
      return more;
    },
    resync() {
      if (rib.deferring) return false;
      for (const seat of seats) {
        const { whole } = seat;
        if (whole === undefined || seat.waiting.size > 0) continue;
        seat.whole = undefined;
        whole();
      }
      return false;
    },
    join(member) {
      const seat: Seat = {
        member,
        waiting: new Set(),
        told: new Map(),
        again: new Set(),
        whole: () => member.onSynced(),
      };
      seats.push(seat);
      fill(seat);
    },
    leave(peer) {
      const index = seats.findIndex((seat) => seat.member.peer === peer);
      if (index >= 0) drop(seats.splice(index, 1)[0]!);
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
      for (const prefix of seat.waiting) seat.again.add(prefix);
    },
    get members() {
      return seats.map((seat) => seat.member);
    },
    needs: (prefix) => seats.some((seat) => seat.waiting.has(prefix) || seat.told.has(prefix)),
    told(prefix, peer) {
      return [...(seatOf(peer)?.told.get(prefix) ?? [])].map(([pathId, attr]) => ({ attr, pathId, source: 0 }));
    },
    get queued() {
      return Math.max(0, ...seats.map((seat) => seat.waiting.size));
    },
    get policy() {
      return outgoing.policy;
    },
    setPolicy(next) {
      outgoing.setPolicy(next);
      for (const seat of seats) fill(seat);
    },
    split(peers, policy) {
      const moved = seats.filter(({ member }) => peers.includes(member.peer));
      for (const seat of moved) seats.splice(seats.indexOf(seat), 1);
      const made = groupOf({ ...options, policy }, moved, new Map(ids));
      made.markAll();
      return made;
    },
    close() {
      for (const seat of seats) drop(seat);
      seats.length = 0;
    },
  };
}
