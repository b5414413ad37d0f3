/**
 * How fast the codec is alone: no socket, no RIB. `node bench/bgp/codec.ts` prints one table.
 * The walk is what every received prefix pays; decoding attributes is paid once for each distinct block.
 */
import { decodeAttributes } from '../../src/bgp/message/attributes/decode.ts';
import { findMpAttributes } from '../../src/bgp/message/attributes/find.ts';
import { encodeAttributes } from '../../src/bgp/message/attributes/encode.ts';
import { createFramer } from '../../src/bgp/message/framer.ts';
import { decodeUpdate, encodeUpdate } from '../../src/bgp/message/message.ts';
import { prefixNlri } from '../../src/bgp/message/nlri/nlri.ts';
import { createPrefixBatch, readPrefixes4, readPrefixes6, writePrefix4 } from '../../src/bgp/message/prefixes.ts';
import type { AttributeContext, PathAttributes } from '../../src/bgp/message/types.ts';
import { createUpdateParts, splitUpdate } from '../../src/bgp/message/update.ts';

const ROUTES = 500_000;
const CONTEXT: AttributeContext = { peerType: 'ebgp', families: ['ipv4-unicast', 'ipv6-unicast'] };

/** Attributes like those of the internet: 3–8 hops, 2–5 communities. */
function attributesOf(index: number): PathAttributes {
  const hops = 3 + (index % 6);
  return {
    origin: 'igp',
    asPath: [{ type: 'sequence', asns: Array.from({ length: hops }, (_, hop) => 64_512 + ((index * 7 + hop) % 1000)) }],
    nextHop: '192.0.2.1',
    med: index % 100,
    communities: Array.from({ length: 2 + (index % 4) }, (_, at) => 0xfde80000 + ((index + at) & 0xffff)),
  };
}

/** UPDATEs with `perUpdate` prefixes each, as one stream. */
function stream(perUpdate: number, family: 4 | 6): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let first = 0; first < ROUTES; first += perUpdate) {
    const routes = Array.from({ length: perUpdate }, (_, index) => {
      const value = first + index;
      return family === 4
        ? prefixNlri(`${10 + (value >> 16)}.${(value >> 8) & 255}.${value & 255}.0/24`)
        : prefixNlri(`2001:${(value >> 16).toString(16)}:${(value & 0xffff).toString(16)}::/48`);
    });
    const announce =
      family === 4
        ? { family: 'ipv4-unicast' as const, nextHop: '192.0.2.1', routes }
        : { family: 'ipv6-unicast' as const, nextHop: '2001:db8::1', routes };
    parts.push(...encodeUpdate({ attributes: attributesOf(first / perUpdate), announce }).messages);
  }
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Median operations a second of CPU, of seven runs after two that warm up; CPU time, since others may use the machine. */
function measure(name: string, unit: string, run: () => number): void {
  const rates: number[] = [];
  for (let round = 0; round < 9; round++) {
    const before = process.cpuUsage();
    const count = run();
    const { user, system } = process.cpuUsage(before);
    if (round > 1) rates.push(count / ((user + system) / 1e6));
  }
  rates.sort((a, b) => a - b);
  const rate = rates[3] ?? 0;
  const text = rate > 1e6 ? `${(rate / 1e6).toFixed(1)} M` : `${(rate / 1e3).toFixed(0)} k`;
  console.log(`${name.padEnd(58)} ${text.padStart(9)} ${unit} per CPU second`);
}

const parts = createUpdateParts();
const spans = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };

/** Frames 64 KiB chunks, splits each message and reads its prefixes; sums them so that nothing is optimised away. */
function walk(bytes: Uint8Array, family: 4 | 6): number {
  const batch = createPrefixBatch(family);
  const framer = createFramer();
  let routes = 0;
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 65_536) {
    framer.push(bytes.subarray(at, Math.min(at + 65_536, bytes.length)), (chunk, offset, length) => {
      splitUpdate(chunk, offset, length, parts);
      if (family === 4) readPrefixes4(chunk, parts.nlriOffset, parts.nlriOffset + parts.nlriLength, false, batch);
      else {
        findMpAttributes(chunk, parts.attributesOffset, parts.attributesLength, spans);
        const hop = chunk[spans.reachStart + 7] ?? 0;
        readPrefixes6(chunk, spans.reachStart + 9 + hop, spans.reachEnd, false, batch);
      }
      routes += batch.count;
      for (let row = 0; row < batch.count; row++) sum = (sum + (batch.words[row] ?? 0)) | 0;
    });
  }
  if (routes !== ROUTES) throw new Error(`walked ${routes} of ${ROUTES} routes, sum ${sum}`);
  return routes;
}

const ten = stream(10, 4);
const one = stream(1, 4);
const six = stream(10, 6);
measure('walk IPv4, 10 an update (frame, split, prefixes)', 'prefixes', () => walk(ten, 4));
measure('walk IPv4, 1 an update', 'prefixes', () => walk(one, 4));
measure('walk IPv6, 10 an update', 'prefixes', () => walk(six, 6));

const blocks: { offset: number; length: number }[] = [];
createFramer().push(ten, (chunk, offset, length) => {
  splitUpdate(chunk, offset, length, parts);
  blocks.push({ offset: parts.attributesOffset, length: parts.attributesLength });
});
measure('decode and judge attributes', 'blocks', () => {
  let fine = 0;
  for (const { offset, length } of blocks) {
    if (decodeAttributes(ten, offset, length, CONTEXT, true).reaction === 'accept') fine++;
  }
  return fine;
});

const values = Array.from({ length: 50_000 }, (_, index) => attributesOf(index));
const out = new Uint8Array(4096);
measure('encode attributes', 'blocks', () => {
  for (const value of values) encodeAttributes(value, {}, out, 0);
  return values.length;
});
measure('encode IPv4 prefixes', 'prefixes', () => {
  let at = 0;
  for (let value = 0; value < ROUTES; value++) {
    if (at > 4000) at = 0;
    at = writePrefix4(out, at, value << 8, 24, -1);
  }
  return ROUTES;
});
measure('decode whole UPDATEs to values, 10 prefixes each', 'prefixes', () => {
  let routes = 0;
  createFramer().push(ten, (chunk, offset, length) => {
    for (const { routes: found } of decodeUpdate(chunk, offset, length, CONTEXT).announced) routes += found.length;
  });
  return routes;
});
