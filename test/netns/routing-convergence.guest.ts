/**
 * The other nodes of a big cluster in one process and one namespace: a speaker each, on an address of its own, that announces its pods.
 * Takes `up N` and `down N` on standard input.
 */
import { createInterface } from 'node:readline';
import { BehaviorSubject } from 'rxjs';
import { createSpeaker } from '../../src/bgp/index.ts';
import type { Speaker } from '../../src/bgp/index.ts';
import type { Advertisement } from '../../src/net/index.ts';

const [countText = '0', target = ''] = process.argv.slice(2);
const speakers = new Map<number, Speaker>();

const address = (index: number): string => `10.0.${index >> 8}.${index & 255}`;
const prefix = (index: number): string => `10.${100 + (index >> 8)}.${index & 255}.0/24`;

async function up(index: number): Promise<void> {
  const speaker = await createSpeaker({
    asn: 64512,
    routerId: address(index),
    peers: [
      { address: target, asn: 64512, localAddress: address(index), holdTime: 30, connectRetryTime: 1, idleHoldTime: 1 },
    ],
  });
  speaker.announce(
    new BehaviorSubject<readonly Advertisement[]>([
      { prefix: prefix(index), nextHop: address(index), origin: 'pod-cidr' },
    ]),
  );
  speakers.set(index, speaker);
}

for (let index = 2; index < 2 + Number(countText); index++) await up(index);
process.stdout.write('ready\n');
createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, number] = line.split(' ');
  const index = Number(number);
  if (verb === 'up') void up(index);
  else void speakers.get(index)?.close();
});
