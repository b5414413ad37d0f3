/**
 * BGP between many nodes on the network in memory: what one node pays in a full mesh, and behind two reflectors.
 * The other ends are whole speakers of ours, so the cost is that of the node under test alone only where it is divided by the sessions.
 */
import { createSpeaker } from '../../src/bgp/index.ts';
import type { PeerOptions, Speaker } from '../../src/bgp/index.ts';
import { createMemoryNetwork } from '../../src/testing/index.ts';

const ASN = 64512;
const address = (index: number): string => `10.0.${index >> 8}.${index & 255}`;
const podRange = (index: number): string => `10.${128 + (index >> 8)}.${index & 255}.0/24`;

/** What a run showed. */
export interface MeshResult {
  readonly sessions: number;
  /** Messages that all nodes together sent until every one knew every route. */
  readonly messages: number;
  /** Messages that one new route of one node made, all nodes together. */
  readonly messagesOfOneChange: number;
  /** Of all nodes together, milliseconds of processor time to come up. */
  readonly cpuMs: number;
}

const sent = (speakers: readonly Speaker[]): number =>
  speakers.reduce((sum, one) => sum + one.peers().reduce((part, peer) => part + peer.messagesSent, 0), 0);

/** Simulates `count` nodes; with reflectors when `reflectors` is above 0. */
export async function measureMesh(count: number, reflectors: number): Promise<MeshResult> {
  const network = createMemoryNetwork();
  const speakers: Speaker[] = [];
  const start = async (index: number, peers: PeerOptions[]): Promise<void> => {
    const own = address(index);
    speakers.push(
      await createSpeaker({
        asn: ASN,
        routerId: own,
        listen: [{ address: own }],
        peers,
        // long: keepalives are arithmetic, and would hide what a change costs
        holdTime: 3600,
        clock: network.clock,
        transport: network.transport(own),
      }),
    );
  };
  const before = process.cpuUsage();
  // reflectors have the numbers 1 to `reflectors`, nodes those behind; the lower number dials
  const all = Array.from({ length: count + reflectors }, (_, index) => index + 1);
  for (const index of all) {
    const isReflector = index <= reflectors;
    const others = all.filter((other) => other !== index && (reflectors === 0 || isReflector !== other <= reflectors));
    await start(
      index,
      others.map((other) => ({
        address: address(other),
        asn: ASN,
        ...(other < index ? { passive: true } : {}),
        ...(isReflector ? { routeReflectorClient: true } : {}),
      })),
    );
  }
  all.forEach((index, at) => {
    if (index > reflectors) speakers[at]?.setAdvertisements([{ prefix: podRange(index), origin: 'pod-cidr' }]);
  });
  network.run(120_000);
  const used = process.cpuUsage(before);
  const wanted = podRange(count + reflectors);
  for (const [at, speaker] of speakers.entries()) {
    if (all[at] !== count + reflectors && speaker.lookup(wanted).length === 0)
      throw new Error(`node ${all[at] ?? 0} of ${count} did not learn ${wanted}`);
  }
  const quiet = sent(speakers);
  const last = speakers.at(-1);
  last?.setAdvertisements([
    { prefix: wanted, origin: 'pod-cidr' },
    { prefix: '203.0.113.80/32', origin: 'vip' },
  ]);
  network.run(10_000);
  const result = {
    sessions: speakers.reduce((sum, one) => sum + one.peers().length, 0) / 2,
    messages: quiet,
    messagesOfOneChange: sent(speakers) - quiet,
    cpuMs: (used.user + used.system) / 1000,
  };
  await Promise.all(speakers.map((one) => one.close()));
  return result;
}
