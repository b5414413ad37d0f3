/**
 * Changes on their way to the members of an update group: chained by source peer, encoded once, handed to every receiver less its own.
 * The columns are shared by all groups, because one batch is made and sent at a time; they grow to the largest batch and stay.
 * Stands between group.ts, which says what changed, and the packer, which writes messages.
 */
import type { AttributeStore } from './attribute-store.ts';
import { capacityFor, growInt32 } from './columns.ts';
import type { Member } from './group-types.ts';
import type { Packer } from './packer.ts';
import { addPrefix, beginAnnounce, beginWithdraw, createPacker, endMessage, hasRoom } from './packer.ts';
import type { Rib } from './table.ts';

const OUT_SIZE = 512 * 1024;
const out = new Uint8Array(OUT_SIZE + 65_536);

/** Items by number: prefix, set to tell (-1 withdraws), next item of its chain. */
let count = 0;
let itemPrefix: Int32Array = new Int32Array(4096);
let itemAttr: Int32Array = new Int32Array(4096);
let itemNext: Int32Array = new Int32Array(4096);
/** First and last item of each source peer; -1 none. Sources in order of their first item. */
let chainHead: Int32Array = new Int32Array(256).fill(-1);
let chainTail: Int32Array = new Int32Array(256);
const sources: number[] = [];
/** Items of one set within a chain, valid while the stamp is the chain's. */
let bucketStamp: Int32Array = new Int32Array(1024);
let bucketHead: Int32Array = new Int32Array(1024);
let bucketTail: Int32Array = new Int32Array(1024);
let stamp = 0;

function fitItems(): void {
  const n = capacityFor(itemPrefix.length, count + 1);
  itemPrefix = growInt32(itemPrefix, n, 0);
  itemAttr = growInt32(itemAttr, n, 0);
  itemNext = growInt32(itemNext, n, 0);
}

function fitChains(source: number): void {
  const n = capacityFor(chainHead.length, source + 1);
  chainHead = growInt32(chainHead, n, -1);
  chainTail = growInt32(chainTail, n, 0);
}

function fitBuckets(store: AttributeStore): void {
  if (bucketStamp.length >= store.size) return;
  const n = capacityFor(bucketStamp.length, store.size);
  bucketStamp = growInt32(bucketStamp, n, 0);
  bucketHead = growInt32(bucketHead, n, 0);
  bucketTail = growInt32(bucketTail, n, 0);
}

/** Begins a batch. */
export function beginBatch(): void {
  for (const source of sources) chainHead[source] = -1;
  sources.length = 0;
  count = 0;
}

/** Items in the batch. */
export function batchSize(): number {
  return count;
}

/** Adds a change: the set to tell of a prefix, -1 to withdraw it. `source`: the peer that it came from. */
export function addChange(source: number, prefix: number, attr: number): void {
  if (count === itemPrefix.length) fitItems();
  if (source >= chainHead.length) fitChains(source);
  const item = count++;
  itemPrefix[item] = prefix;
  itemAttr[item] = attr;
  itemNext[item] = -1;
  if (chainHead[source]! < 0) {
    chainHead[source] = item;
    sources.push(source);
  } else itemNext[chainTail[source]!] = item;
  chainTail[source] = item;
}

interface Segment {
  readonly source: number;
  start: number;
  end: number;
}

/** Hands the finished buffer to the receivers, each less the segments of its own routes. */
function deliver(packer: Packer, segments: readonly Segment[], receivers: readonly Member[]): void {
  if (packer.at === 0) return;
  const bytes = packer.bytes.slice(0, packer.at);
  for (const member of receivers) {
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
}

/** Encodes the batch and hands it out: by source, withdrawals first, sets together, in order of arrival. */
export function sendBatch({ store, prefixes }: Rib, maxLength: number, receivers: readonly Member[]): void {
  if (count === 0 || receivers.length === 0) return;
  fitBuckets(store);
  const packer = createPacker(prefixes, store, maxLength, out);
  let segments: Segment[] = [];
  for (const source of sources) {
    let segment: Segment = { source, start: packer.at, end: packer.at };
    segments.push(segment);
    const room = (): void => {
      if (hasRoom(packer) && packer.at < OUT_SIZE) return;
      segment.end = packer.at;
      deliver(packer, segments, receivers);
      segment = { source, start: 0, end: 0 };
      segments = [segment];
    };
    const order: number[] = [];
    stamp++;
    let open = false;
    for (let item = chainHead[source]!, next: number; item >= 0; item = next) {
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
}
