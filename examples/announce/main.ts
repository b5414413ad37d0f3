/**
 * Announces one prefix to one router until it is told to stop: `node main.ts PREFIX ROUTER ROUTER-ASN`.
 * Needs no Kubernetes and no privileges: a speaker that only dials out listens on no port.
 */
import { createSpeaker } from 'kube-router-sdk/bgp';

const [prefix = '203.0.113.10/32', router = '192.0.2.254', asn = '65000'] = process.argv.slice(2);

await using speaker = await createSpeaker({
  asn: 64512,
  routerId: '192.0.2.1',
  peers: [{ address: router, asn: Number(asn) }],
});
speaker.events$.subscribe(({ type, peer, reason }) => {
  if (type === 'up' || type === 'down') console.log(`${peer} ${type}: ${reason}`);
});
speaker.setAdvertisements([{ prefix, origin: 'other', attributes: { communities: ['64512:100'], med: 20 } }]);

await new Promise((resolve) => process.once('SIGTERM', resolve));
// leaving the block closes the speaker: the router is told Cease and forgets the prefix
